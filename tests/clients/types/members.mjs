// What sarang.js has and what sarang.d.ts says it has, as two JSON objects of sorted lists: node members.mjs STATIC TYPESCRIPT

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [folder, typescript] = process.argv.slice(2);
const ts = createRequire(import.meta.url)(typescript);
const part = (name) => import(pathToFileURL(`${folder}/${name}`));
const source = (name) => readFileSync(`${folder}/${name}`, 'utf8');

const module = await part('sarang.js');
const { Outgoing } = await part('outgoing.js');
class Silent { close() {} }

const INTERNAL = { Outgoing: ['change', 'then'] };
function membersOf(instance, kind) {
  const names = new Set(Object.keys(instance));
  for (let of = Object.getPrototypeOf(instance); of !== EventTarget.prototype && of !== Object.prototype; of = Object.getPrototypeOf(of)) {
    for (const name of Reflect.ownKeys(of)) if (name !== 'constructor' && name !== Symbol.toStringTag) names.add(String(name.description ?? name));
  }
  return [...names].filter((name) => !INTERNAL[kind]?.includes(name)).sort();
}

/** The names that are taken out of the object which a constructor is given. */
const optionsOf = (text) => text.match(/constructor\(\{([^}]*)\}/)[1].split(',').map((option) => option.split('=')[0].trim()).sort();
/** Events by the module's own description, and those that it emits. */
const described = [...source('sarang.js').matchAll(/^ \* {3}([a-z_]+(?:, [a-z_]+)*) {2,}(?:\[|as the server)/gm)].flatMap(([, names]) => names.split(', ')).sort();
const code = source('sarang.js');
const emitted = [...code.matchAll(/#emit\('(\w+)'/g)].map(([, name]) => name);
const passedOn = [...code.match(/((?:case '\w+': ?)+)\n[^\n]*#emit\(event\.type/)[1].matchAll(/'(\w+)'/g)].map(([, name]) => name);

const chat = new module.Sarang({ url: 'ws://127.0.0.1:9/ws', WebSocket: Silent });
chat.close();
const has = {
  exports: Object.keys(module).sort(),
  Sarang: membersOf(chat),
  EventStream: membersOf(new module.EventStream({ url: 'http://127.0.0.1:9/sse/all' })),
  Outgoing: membersOf(new Outgoing({ kind: 'chat', room: 'r', to: 'kim', content: '' }), 'Outgoing'),
  SarangOptions: optionsOf(source('sarang.js')),
  EventsOptions: optionsOf(source('events.js')),
  SarangEventMap: [...new Set([...emitted, ...passedOn])].sort(),
};

const file = ts.createSourceFile('sarang.d.ts', source('sarang.d.ts'), ts.ScriptTarget.Latest, true);
const declarations = Object.fromEntries(file.statements.filter(({ name }) => name).map((statement) => [statement.name.text, statement]));
const isValue = (statement) => ts.isClassDeclaration(statement) || ts.isFunctionDeclaration(statement);
const values = file.statements.flatMap((statement) => (isValue(statement) ? [statement.name.text]
  : ts.isVariableStatement(statement) ? statement.declarationList.declarations.map(({ name }) => name.text) : []));
const OF_EVENT_TARGET = ['addEventListener', 'removeEventListener'];
const namesOf = (kind) => [...new Set(declarations[kind].members.filter(({ name }) => name).map(({ name }) => name.getText().replace(/^\[(.*)\]$/, '$1')))]
  .filter((name) => !OF_EVENT_TARGET.includes(name)).sort();
const says = { exports: values.sort(), ...Object.fromEntries(Object.keys(has).slice(1).map((kind) => [kind, namesOf(kind)])) };

const figures = Object.fromEntries(['SystemMetrics', 'ApiMetrics', 'BusinessMetrics'].map((kind) => [kind, namesOf(kind)]));
console.log(JSON.stringify({ has, says, figures, described, emitted: has.SarangEventMap }));
