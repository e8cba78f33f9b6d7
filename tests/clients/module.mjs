// A program that uses sarang.js wherever it is: module.mjs MODULE ADDRESS. It asks whoever started it for what it cannot do itself,
// with a line on stdout and one on stdin, and ends by itself when all is closed.

const [where, server] = globalThis.Deno?.args ?? process.argv.slice(2);
const { Sarang, events } = await import(where);
const ws = server.replace('http', 'ws');

const assert = (holds, what) => { if (!holds) throw new Error(`not true: ${what}`); };
const once = (target, type, isIt = () => true) => new Promise((resolve) => {
  const hear = ({ detail }) => {
    if (!isIt(detail)) return;
    target.removeEventListener(type, hear);
    resolve({ ...detail }); // a message of ours would be waited for
  };
  target.addEventListener(type, hear);
});
const codeOf = (promise) => promise.then(() => null, ({ code }) => code);

const { createInterface } = await import('node:readline');
const lines = createInterface({ input: process.stdin });
async function ask(what) {
  const answer = new Promise((resolve) => { lines.once('line', resolve); });
  console.log(what);
  await answer;
}

const [kim, lee] = ['김', 'lee'].map((name) => new Sarang({ url: `${ws}/ws?username=${encodeURIComponent(name)}` }));

// What is said is heard, in both ways.
await kim.join('tech');
const { room, online_users } = await lee.join('tech');
assert(room === 'tech' && online_users.includes('김'), 'who is here');
const heard = once(lee, 'chat');
const sent = await kim.say('tech', '안녕하세요 👋');
assert(sent.status === 'sent' && sent.position, 'an acknowledgement');
assert((await heard).content === '안녕하세요 👋', 'what was said');
const whisper = once(kim, 'whisper');
await lee.whisper('김', 'psst');
assert((await whisper).from === 'lee', 'a whisper');

// What fails says so.
const failed = once(lee, 'message', ({ status }) => status === 'failed');
assert(await codeOf(lee.say('elsewhere', 'x')) === 'not_in_room', 'why it failed');
assert((await failed).room === 'elsewhere', 'what has failed');
assert(await codeOf(lee.join('bad\u0000name')) === 'bad_room_name', 'a room that cannot be');

// A moderator.
async function ticket() {
  const post = (path, headers, body) => fetch(`${server}/auth/${path}`, { method: 'POST', headers, body }).then((response) => response.json());
  const { access_token: token } = await post('login', { 'Content-Type': 'application/json' }, JSON.stringify({ username: 'admin', password: 'secret' }));
  return (await post('ws-ticket', { Authorization: `Bearer ${token}` })).ticket;
}
const admin = new Sarang({ url: async () => `${ws}/ws?ticket=${await ticket()}`, ticketed: true });
await once(admin, 'welcome');
assert(admin.admin && !kim.admin, 'who may moderate');
const gone = once(lee, 'deleted');
await admin.act('delete', { room: 'tech', position: sent.position });
assert((await gone).position === sent.position, 'what was deleted');
assert((await admin.act('users')).users.length === 3, 'who is here');
const page = await lee.history('tech', { limit: 2 });
assert(page.messages[0].type === 'deleted' && page.messages.length === 1 && !page.more, 'what the room keeps');
assert((await lee.history('tech', { before: 'deadbeef:7' })).messages.length === 0, 'a past that is lost');
assert(await codeOf(kim.act('users')) === 'forbidden', 'who may not');
// Rooms are told as they change.
const listed = once(admin, 'room_list');
admin.watchRooms();
assert((await listed).rooms.some(({ name, users }) => name === 'tech' && users === 2), 'the rooms');
const isNew = once(admin, 'rooms', ({ changed }) => changed.some(({ name, users }) => name === 'new' && users === 1));
await kim.join('new');
await isNew;
const isGone = once(admin, 'rooms', ({ removed }) => removed.includes('new'));
const put = once(kim, 'room_left');
await admin.act('remove_room', { room: 'new' });
assert((await put).reason === 'room_removed', 'why it was left');
await isGone;
admin.unwatchRooms();

const out = once(lee, 'state', ({ name }) => name === 'closed');
await admin.act('kick', { user: 'lee', reason: 'enough' });
assert((await out).reason === 'enough', 'why');

// A stream goes on where its loop was left.
const stream = events({ url: server, channels: ['system'] });
const ids = [];
for await (const { type, id, data } of stream) {
  assert(type === 'system_metrics' && data.cpu >= 0, 'what a sample is');
  ids.push(Number(id));
  break;
}
const tell = fetch(`${server}/events/orders`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"total":3}' });
for await (const { type, data } of events({ url: server, channels: 'orders', lastEventId: ids[0] })) {
  assert(type === 'orders' && data.total === 3, 'an event of a back end');
  break;
}
await tell;
const all = events({ url: server, channels: ['system'], lastEventId: 0 });
const times = [];
for await (const { id } of all) {
  times.push(Number(id));
  if (times.length === 2) await ask('cut');
  if (times.length === 4) break;
}
assert(times.every((id, n) => !n || id > times[n - 1]), 'ids that grow over a cut');
let refused = null;
try { for await (const _ of events(`${server}/sse/No`)) break; } catch (error) { refused = error; }
assert(refused.status === 404 && refused.code === 'not_found', 'a stream that is not there');

// What is said while the connection is broken is sent by itself.
await ask('part');
if (kim.state.name === 'connected') await once(kim, 'state');
const offline = kim.say('tech', 'still here');
assert(offline.status === 'pending', 'what waits');
await ask('mend');
kim.retryNow();
await offline;

for (const one of [kim, admin]) one.close();
all.close();
lines.close();
console.log('done');
