// Whether scripts and style sheets use only what the oldest supported browsers have: browsers.mjs MODULES FILE…
// Prints {file: [{line, name, why}]} as JSON.
//
// Syntax: esbuild has to change nothing for these browsers. What a script calls: the names of the platform, and their members by
// the types that TypeScript infers, are looked up in MDN's browser-compat-data. Where a type is unknown the name decides: it is
// reported if these browsers have nothing of that name. What is asked for before it is used (`x?.y?.()`) is allowed.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const OLDEST = { chrome: 109, firefox: 115, safari: 16.4 };

const [modules, ...files] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const [ts, esbuild, mdn] = [load('typescript'), load('esbuild'), load('@mdn/browser-compat-data')];
const found = Object.fromEntries(files.map((file) => [file, []]));
const report = (file, line, name, why) => found[file].push({ line, name, why });

// What browsers have

/** Whether each of the browsers has it, without a prefix or a flag. */
function isThere({ support }) {
  return Object.entries(OLDEST).every(([browser, oldest]) => [support[browser]].flat().some((entry) => {
    const { version_added: added, version_removed: removed, prefix, alternative_name: otherName, flags } = entry ?? {};
    if (!added || added === 'preview' || removed || prefix || otherName || flags) return false;
    return Number.parseFloat(String(added).replace('≤', '')) <= oldest;
  }));
}

/** 'Interface.member' or 'Global' → whether it is there; and name → whether anything of that name is. */
const [exactly, anything] = [new Map(), new Map()];
function note(path, compat) {
  const there = isThere(compat);
  exactly.set(path, there || exactly.get(path) === true);
  const name = path.split('.').at(-1);
  anything.set(name, there || anything.get(name) === true);
}
const plain = (name) => name.replace(/_(static|event)$/, '');
function noteAll(tree, prefix) {
  for (const [name, entry] of Object.entries(tree)) {
    if (name === '__compat') continue;
    if (entry.__compat) note(prefix + plain(name), entry.__compat);
    for (const [member, feature] of Object.entries(entry)) {
      if (member !== '__compat' && feature.__compat) note(`${plain(name)}.${plain(member)}`, feature.__compat);
    }
  }
}
noteAll(mdn.api, '');
noteAll(mdn.javascript.builtins, '');
noteAll(mdn.javascript.builtins.Intl, 'Intl.');

// Syntax

const TARGET = Object.entries(OLDEST).map(([browser, version]) => browser + version);
for (const file of files) {
  const loader = file.endsWith('.css') ? 'css' : 'js';
  // Property escapes are older than these browsers; esbuild asks for those of the newest Unicode.
  const transform = (target) => esbuild.transformSync(readFileSync(file, 'utf8'), {
    loader, target, charset: 'utf8', logLevel: 'silent', supported: loader === 'js' ? { 'regexp-unicode-property-escapes': true } : {},
  });
  try {
    const [newest, oldest] = [transform('esnext'), transform(TARGET)];
    for (const { text, location } of oldest.warnings) report(file, location?.line ?? 0, 'syntax', text);
    const [wanted, lines] = [newest.code.split('\n'), oldest.code.split('\n')];
    const at = lines.findIndex((line, n) => line !== wanted[n]);
    if (at >= 0 || lines.length < wanted.length) report(file, 0, 'syntax', `these browsers need "${lines[at]}" in place of "${wanted[at]}"`);
  } catch (error) {
    for (const { text, location } of error.errors ?? [{ text: String(error) }]) report(file, location?.line ?? 0, 'syntax', text);
  }
}
esbuild.stop();

// What scripts call

const scripts = files.filter((file) => file.endsWith('.js'));
const program = ts.createProgram(scripts, {
  allowJs: true, checkJs: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler, lib: ['lib.esnext.full.d.ts'], types: [],
});
const checker = program.getTypeChecker();
const isOfPlatform = (declaration) => program.isSourceFileDefaultLibrary(declaration.getSourceFile());
/** TypeScript's name of an interface, as MDN has it. */
const nameOf = (declaration) => declaration.parent?.name?.text?.replace(/^(Iterator)Object$|Constructor$/, '$1');

/** Why the browsers lack what is named here, or null. */
function problemOf(node) {
  const declarations = checker.getSymbolAtLocation(node)?.declarations ?? [];
  if (declarations.some((declaration) => !isOfPlatform(declaration))) return null; // our own
  const isMember = ts.isPropertyAccessExpression(node.parent) && node.parent.name === node;
  const ofNoKind = !(isMember && ours.has(node.text)) && anything.get(node.text) === false ? `no "${node.text}" of any kind` : null;
  if (declarations.length === 0) return isMember ? ofNoKind : null;
  const paths = isMember ? declarations.map((declaration) => `${nameOf(declaration)}.${node.text}`) : [node.text];
  const known = paths.filter((path) => exactly.has(path));
  if (known.length) return known.some((path) => exactly.get(path)) ? null : `no ${known[0]}`;
  return ofNoKind;
}

const isAskedFor = ({ parent }) => ts.isPropertyAccessExpression(parent) && ts.isCallExpression(parent.parent) && Boolean(parent.parent.questionDotToken);

/** Names of members that our own scripts make. */
const ours = new Set();
const collect = (node) => {
  const makes = ts.isPropertyAssignment(node) || ts.isShorthandPropertyAssignment(node) || ts.isMethodDeclaration(node)
    || ts.isPropertyDeclaration(node) || ts.isGetAccessor(node) || ts.isJSDocPropertyTag(node) || ts.isPropertySignature(node);
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.EqualsToken && ts.isPropertyAccessExpression(node.left)) ours.add(node.left.name.text);
  if (makes && node.name) ours.add(node.name.text ?? node.name.getText());
  for (const tag of node.jsDoc ?? []) ts.forEachChild(tag, collect);
  ts.forEachChild(node, collect);
};
for (const file of scripts) collect(program.getSourceFile(file));

const EVENT_METHODS = new Set(['addEventListener', 'removeEventListener']);

for (const file of scripts) {
  const source = program.getSourceFile(file);
  const lineOf = (node) => source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
  const visit = (node) => {
    if (ts.isIdentifier(node) && !ts.isPropertyAssignment(node.parent) && !isAskedFor(node)) {
      const why = problemOf(node);
      if (why) report(file, lineOf(node), node.text, why);
    }
    // Options and destructured members have no types that could be asked.
    if (ts.isBindingElement(node) && ts.isIdentifier(node.propertyName ?? node.name) && ts.isObjectBindingPattern(node.parent)) {
      const name = (node.propertyName ?? node.name).text;
      const declarations = checker.getTypeAtLocation(node.parent)?.getProperty(name)?.declarations ?? [];
      const path = declarations.some(isOfPlatform) && `${nameOf(declarations[0])}.${name}`;
      if (exactly.get(path) === false) report(file, lineOf(node), name, `no ${path}`);
    }
    if (ts.isCallExpression(node) && EVENT_METHODS.has(node.expression.name?.text) && ts.isStringLiteral(node.arguments[0] ?? node)) {
      const { text } = node.arguments[0];
      if (anything.get(text) === false) report(file, lineOf(node), text, `no event "${text}"`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

// What style sheets say. A property that a browser does not know is left out, and nothing else; but a declaration with a function,
// or a rule with a selector, is lost as a whole. What stands in @supports is asked for, and so is a declaration behind another one
// of the same property.

const missing = (entries) => Object.entries(entries).filter(([, entry]) => entry.__compat && !isThere(entry.__compat)).map(([name]) => name);
const functions = missing({ ...mdn.css.types, ...mdn.css.types.color });
const selectors = missing(mdn.css.selectors);
for (const file of files.filter((name) => name.endsWith('.css'))) {
  let supports = 0;
  readFileSync(file, 'utf8').replace(/\/\*.*?\*\//gs, (comment) => comment.replace(/[^\n]/g, ' ')).split('\n').forEach((line, n) => {
    const isGuarded = supports > 0 || line.includes('@supports');
    if (isGuarded) supports += line.split('{').length - line.split('}').length;
    if (isGuarded) return;
    for (const { 1: name, index } of line.matchAll(/(?<![a-z-])([a-z-]+)\(/g)) {
      const before = line.slice(0, index);
      const property = before.match(/([a-z-]+):[^;]*$/)?.[1];
      const hasFallback = property && before.includes(`${property}:`, before.indexOf(`${property}:`) + 1);
      if (functions.includes(name) && !hasFallback) report(file, n + 1, name, 'no such function');
    }
    for (const [, name] of line.matchAll(/::?([a-z-]+)(?=[^;]*\{)/g)) if (selectors.includes(name)) report(file, n + 1, name, 'no such selector');
  });
}

console.log(JSON.stringify(found));
