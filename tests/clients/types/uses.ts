// What programs in TypeScript write with sarang.js. Compiled with `tsc --strict`, never run.

import { EventStream, QUEUE_MAX, Sarang, events, nameOf, newId } from '../../../static/sarang.js';
import type { Outgoing, SarangError, State, StreamEvent } from '../../../static/sarang.js';

// Options

const chat = new Sarang({ url: 'ws://127.0.0.1:8000/ws?username=kim', key: newId(), queueMax: QUEUE_MAX / 2 });
new Sarang({ url: new URL('ws://127.0.0.1:8000/ws?username=kim') });
new Sarang({ url: async () => `ws://127.0.0.1:8000/ws?ticket=${nameOf('kim')}`, ticketed: true, WebSocket });
// @ts-expect-error the address is missing
new Sarang({ key: newId() });
// @ts-expect-error an address alone is no options
new Sarang('ws://127.0.0.1:8000/ws');
// @ts-expect-error no such option
new Sarang({ url: 'ws://127.0.0.1:8000/ws', reconnect: false });
// @ts-expect-error neither an address nor a promise of one
new Sarang({ url: () => 8000 });

// Events

chat.addEventListener('chat', ({ detail }) => {
  const [room, content, gap]: [string, string, boolean] = [detail.room, detail.content, detail.gap];
  const guest: true | undefined = detail.guest;
  // @ts-expect-error a chat has no such field
  detail.from;
  console.log(room, content, gap, guest);
}, { once: true });
chat.addEventListener('whisper', { handleEvent: ({ detail }) => console.log(detail.from, detail.to) });
chat.addEventListener('room_joined', ({ detail: { messages, online_users } }) => {
  for (const message of messages) console.log(message.type === 'deleted' ? message.position : message.content);
  // @ts-expect-error what was deleted has no content
  messages.map(({ content }) => content);
  console.log(online_users.length);
});
chat.addEventListener('join_failed', ({ detail: { code, until } }) => console.log(code === 'room_full', until ?? 'for good'));
chat.addEventListener('message', ({ detail }) => { const message: Outgoing = detail; console.log(message.status === 'failed' && message.error); });
chat.addEventListener('rooms', ({ detail: { changed, removed } }) => console.log(changed[0]?.users.toFixed(), removed[0]?.length));
chat.addEventListener('room_list', ({ detail }) => detail.rooms.map(({ name, max_users }) => [name, max_users + 1]));
chat.addEventListener('error', ({ detail }) => console.log(detail.code, detail.message));
const left = ({ detail }: CustomEvent<{ room: string }>) => console.log(detail.room);
chat.addEventListener('room_left', left);
chat.removeEventListener('room_left', left);
// @ts-expect-error no such event
chat.addEventListener('chatter', () => {});
// @ts-expect-error not what a chat tells
chat.addEventListener('chat', ({ detail }: CustomEvent<State>) => console.log(detail));

chat.addEventListener('state', ({ detail: state }) => {
  if (state.name === 'reconnecting') console.log(state.retryInMs, state.code);
  if (state.name === 'closed') console.log(state.until);
  // @ts-expect-error only while it waits
  console.log(state.retryAt);
});
const { name }: State = chat.state;
const username: string | null = chat.username;
const admin: boolean = chat.admin;
// @ts-expect-error the server says who may moderate
chat.admin = true;

// Promises

async function talk() {
  const { online_count, position } = await chat.join('tech');
  const sending = chat.say('tech', '안녕하세요');
  const sent: Outgoing = await sending;
  const done: Outgoing = await chat.whisper('lee', 'psst').done;
  console.log(online_count, position, sent.position, sent.id === sending.id, done.to);
  if (done.status === 'failed') chat.retry(done);
  // @ts-expect-error the server settles it
  sent.status = 'sent';
  // @ts-expect-error what is said is a text
  chat.say('tech', 1);
  // @ts-expect-error a room is missing
  chat.say('안녕하세요');
  chat.leave('tech');

  const { messages, more } = await chat.history('tech', { before: messages0(), limit: 50 });
  console.log(messages.length, more);
  // @ts-expect-error pages go back only
  await chat.history('tech', { after: 'e:1' });
  try {
    await chat.extend('ticket');
  } catch (error) {
    console.log((error as SarangError).code === 'closed');
  }
  chat.listRooms();
  chat.watchRooms();
  chat.unwatchRooms();
  chat.retryNow();
  chat.close();
}
declare function messages0(): string | undefined;

// Moderators

async function moderate() {
  await chat.act('kick', { user: 'lee', room: 'tech', reason: 'spam' });
  await chat.act('ban', { user: 'lee', seconds: 60 });
  const { position } = await chat.act('publish', { room: 'tech', content: 'Hello', id: newId() });
  const { users, next } = await chat.act('users');
  const room = await chat.act('set_room', { room: 'tech', write: 'moderators', history_seconds: null });
  console.log(position, users[0]?.connections, next, room.max_users);
  // @ts-expect-error whom?
  await chat.act('kick', { room: 'tech' });
  // @ts-expect-error no such act
  await chat.act('praise', { user: 'lee' });
  // @ts-expect-error needs its fields
  await chat.act('ban');
  // @ts-expect-error no such writers
  await chat.act('set_room', { room: 'tech', write: 'nobody' });
}

// Event streams

async function follow() {
  const stop = new AbortController();
  for await (const event of events({ url: 'http://127.0.0.1:8000', channels: ['system', 'orders'], lastEventId: 7, token: () => 'token', signal: stop.signal })) {
    if (event.type === 'system_metrics') console.log(event.data.cpu.toFixed(1), event.id);
    if (event.type === 'gap') console.log(event.data.oldest - 1);
    // @ts-expect-error not of every event
    console.log(event.data.cpu);
  }
  for await (const { data } of events<{ orders: { total: number } }>('http://127.0.0.1:8000/sse/orders')) console.log(data.total + 1);
  const stream: EventStream = events();
  stream.addEventListener('state', ({ detail }) => detail.name === 'reconnecting' && console.log(detail.status, detail.reason));
  const next: IteratorResult<StreamEvent, void> = await stream[Symbol.asyncIterator]().next();
  console.log(next.done, stream.lastEventId, stream.state.name);
  stream.retryNow();
  stream.close();
  // @ts-expect-error no such event: those of the stream come out of its loop
  stream.addEventListener('system_metrics', () => {});
  // @ts-expect-error no such option
  events({ channel: 'system' });
}

console.log(name, username, admin, talk, moderate, follow);
