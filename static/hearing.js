// What the server tells about rooms and people, and what that changes in the house.

import { append, empty, erase, isDeleted, note, settleSent } from './conversation.js';
import { isHidden } from './hiding.js';
import { house } from './house.js';
import { mentionsUs } from './mentions.js';
import { explain, explainPutOut } from './words.js';

/** Messages that the server tells of a room's past at the first join, if it keeps so many. */
const HISTORY_ON_ENTRY = 50;

/** Calls a handler with each event of a type, while its source is the chat of this stay. @param {import('./sarang.js').Sarang} source */
export const hearing = (source) => (type, handle) => source.addEventListener(type, ({ detail }) => {
  if (source !== house.chat) return; // of an earlier stay
  handle(detail);
  house.changed();
});

/** @param {import('./sarang.js').Sarang} source */
export function listen(source) {
  const on = hearing(source);
  on('room_joined', roomJoined);
  on('join_failed', ({ room, code, ...why }) => house.refuse(room, why.reason ? explainPutOut('room', why) : explain(code), { impossible: code === 'bad_room_name' }));
  on('room_left', roomLeft);
  on('room_list', ({ rooms }) => { house.rooms = new Map(rooms.map((room) => [room.name, room])); });
  on('rooms', ({ changed = [], removed = [] }) => {
    for (const room of changed) house.rooms.set(room.name, { ...house.rooms.get(room.name), ...room });
    for (const name of removed) house.rooms.delete(name);
  });
  on('chat', (detail) => heard(house.room(detail.room), detail, detail.username));
  on('whisper', whispered);
  on('message', messageChanged);
  on('deleted', deleted);
  on('user_joined', (detail) => presence(detail, true));
  on('user_left', (detail) => presence(detail, false));
  on('room_users', ({ room, count: present }) => { const conversation = house.room(room); if (conversation) conversation.present = present; });
  on('error', ({ code }) => house.tell('problem', { code }));
}

function whispered(detail) {
  const { from, to, guest = false } = detail;
  if (from === house.chat.username) heard(house.whispersWith(to), detail, from);
  else if (!isHidden(from, guest)) heard(house.whispersWith(from, guest), detail, from);
}

function roomJoined({ room, messages, first, gap, online_users: others, guests = [], online_count: present }) {
  const conversation = house.room(room);
  if (!conversation) return;
  // Coming back after a refusal: the history is told from its start again.
  const again = first && conversation.items.length > 0;
  if (again) empty(conversation);
  if (first) conversation.more = messages.length >= HISTORY_ON_ENTRY;
  Object.assign(conversation, { standing: 'in', putOut: false, people: new Map(others.map((name) => [name, guests.includes(name)])), present });
  if (gap && conversation.items.at(-1)?.kind !== 'gap') append(conversation, { kind: 'gap' });
  for (const message of messages) {
    if (message.type === 'deleted') append(conversation, { kind: 'deleted', position: message.position });
    else heard(conversation, message, message.username, first);
  }
  if (first && conversation.tally) house.countFrom(conversation, conversation.tally);
  if (first) conversation.tally = null;
  settleSent(conversation, house.chat.username);
  if (again && conversation === house.active) house.tell('history');
  if (conversation === house.active) house.tell('standing');
  house.tell('moved');
  house.chat.listRooms();
}

function roomLeft({ room, reason, until }) {
  if (reason) house.refuse(room, explainPutOut('room', { reason, until }), { putOut: true });
  else house.forget(house.room(room));
}

function deleted({ room, position }) {
  const conversation = house.room(room);
  const item = conversation && erase(conversation, position);
  if (item && conversation === house.active) house.tell('replaced', { item });
}

function heard(conversation, { id, content, timestamp, position, gap, guest = false }, from, past = false) {
  if (!conversation || conversation.shown.delete(id)) return;
  if (gap) append(conversation, { kind: 'gap' });
  conversation.outgoing.delete(id);
  const mine = from === house.chat.username;
  house.hear(conversation, { from, guest, mine, content, position, at: new Date(timestamp) }, past);
}

function presence({ room, username, guest = false }, entered) {
  const conversation = house.room(room);
  if (!conversation || conversation.people.has(username) === entered) return;
  if (entered) conversation.people.set(username, guest);
  else conversation.people.delete(username);
  conversation.present += entered ? 1 : -1;
  note(conversation, username, guest, entered);
}

function messageChanged(message) {
  const conversation = house.conversationOf(message);
  // Its echo is shown already, and another tab's same words were not taken for it.
  if (!conversation || (!conversation.outgoing.has(message.id) && message.status !== 'failed')) return;
  if (['unconfirmed', 'closed'].includes(message.error) && !conversation.outgoing.has(message.id)) return;
  conversation.outgoing.set(message.id, message);
  if (message.kind === 'whisper' || isDeleted(conversation, message.position)) settleSent(conversation, house.chat.username);
}

/**
 * What was said in a room before its oldest message that is here.
 * @param {import('./conversation.js').Conversation} conversation @param {{before?: string, limit: number}} page
 * @returns {Promise<{items: object[], more: boolean}>} oldest first
 */
export async function earlier(conversation, { before, limit }) {
  const page = await house.chat.history(conversation.name, { before, limit });
  // Of another epoch: nothing of what was before is kept.
  const { messages, more } = page.recovered === false ? { messages: [], more: false } : page;
  const ourName = house.chat.username;
  const items = messages.map(({ type, username, guest = false, content, timestamp, position }) => {
    if (type === 'deleted') return { kind: 'deleted', position };
    const mine = username === ourName;
    return { kind: 'message', from: username, guest, mine, content, position, at: new Date(timestamp), mentionsUs: !mine && mentionsUs(content, conversation, ourName) };
  });
  return { items, more };
}
