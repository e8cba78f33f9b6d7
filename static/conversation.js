// A conversation as the page keeps it: a room that was entered, or the whispers with one person. What becomes of its items
// without the server, the screen or another conversation.

/** Messages kept and shown of a conversation, whatever the comings and goings between them. */
export const MESSAGES_MAX = 500;
/** So many more may gather until they are let go together: each time, all that is left moves up. */
export const TRIM_BATCH = 50;
/** Earlier messages kept besides, while they are read. */
export const EARLIER_MAX = 2_000;
/** People a presence item knows by name; of more it knows the number. */
const PRESENCE_NAMES_MAX = 200;

/**
 * @typedef {object} Item  What a conversation is a list of.
 * @property {number} serial             grows along the list; shared by no other item
 * @property {'message'|'deleted'|'presence'|'gap'} kind   deleted: by a moderator, before it was read here
 * @property {string} [from] @property {boolean} [guest] @property {boolean} [mine] @property {string} [content] @property {Date} [at]   a message
 * @property {boolean} [mentionsUs]       has our name behind an @, and is not ours
 * @property {string} [position]         in a room @property {boolean} [gone]   deleted since it was read: its content is empty
 * @property {Map<string, {guest: boolean, came: boolean, here: boolean}>} [people]   presence: whoever came or left since the item before,
 *   whether they came first, and whether they are here now
 * @property {{came: number, left: number}} [others]   presence: how many more than those came, and left
 * @property {number} [changes]          presence: grows with each change
 */

/**
 * @typedef {object} Conversation
 * @property {string} key @property {'room'|'whisper'} kind @property {string} name
 * @property {Item[]} items        what was said, bounded: see `append`
 * @property {number} messages     how many of the items are messages, deleted ones too
 * @property {Map<string, Item>} byPosition   these, where they have a position
 * @property {number} messagesMax  how many are kept: more while the reader is among earlier ones
 * @property {?boolean} more       whether the server keeps earlier ones; null while nobody knows
 * @property {Map<string, import('./sarang.js').Outgoing>} outgoing   our own messages that are not among the items yet
 * @property {Set<string>} shown   ids of our messages that are among the items before their echo came
 * @property {'joining'|'in'|'out'} standing   out: not let in, or put out of it (`putOut`), for the reason `refusal`
 * @property {string} refusal @property {boolean} putOut
 * @property {boolean} impossible  a room that cannot be, because of its name
 * @property {Map<string, boolean>} people  the others in the room, as far as they are told: whether each is a guest
 * @property {number} present      how many are in the room, we too
 * @property {number} mentioned    unread items that mention us; they are among the `unread`
 * @property {Mark} readUpTo       the newest message that another tab has shown
 * @property {?Tally} tally        of a room that a reload leads back into: what was unread before, until the history is told
 * @property {number} unread @property {?number} unreadFrom   serial of the first unread item
 * @property {boolean} guest       of whispers: with a guest @property {boolean} familiar   of whispers: we have written there, or opened them by ourselves
 * @property {?(import('./log.js').Place & {isLinked?: boolean})} place   where to go on reading once it is shown; null: at the end
 * @property {string} draft @property {boolean} waiting   for the connection to come back
 */

let newest = 0;
let oldest = 0;

export const keyOf = (kind, name) => `${kind} ${name}`;

/** A room that a reload leads back into. @param {Conversation} conversation */
export const isWanted = ({ kind, putOut, impossible }) => kind === 'room' && !putOut && !impossible;

/**
 * @typedef {{at: number, seq: number}} Mark   Which message of a conversation, in all tabs: times are in seconds, and of a room's
 *   messages within one the number counts. In milliseconds since 1970.
 */

/**
 * @typedef {object} Tally  What is unread of a conversation, when a page ends. @property {number} unread @property {number} mentioned
 * @property {Mark} upTo        the newest message of others that was counted, or read
 * @property {boolean} isMarked where the unread messages begin is to be shown
 */

/** @param {Item} item  a message @returns {Mark} */
export const markOf = ({ at, position }) => ({ at: Number(at), seq: Number(position?.split(':')[1] ?? 0) });

/** @param {Mark} a  @param {Mark} b */
export const isAfter = (a, b) => a.at > b.at || (a.at === b.at && a.seq > b.seq);

/** @returns {Conversation} */
export const begin = (kind, name, waiting) => ({
  key: keyOf(kind, name), kind, name, items: [], messages: 0, byPosition: new Map(), messagesMax: MESSAGES_MAX, more: kind === 'room' ? null : false,
  outgoing: new Map(), shown: new Set(), standing: kind === 'room' ? 'joining' : 'in', refusal: '', putOut: false, impossible: false, people: new Map(), present: 0,
  unread: 0, mentioned: 0, readUpTo: { at: 0, seq: 0 }, tally: null, unreadFrom: null, draft: '', place: null, waiting, guest: false, familiar: false,
});

const isMessage = ({ kind }) => kind === 'message' || kind === 'deleted';

/** @returns {Item} */
export function append(conversation, fields) {
  const item = { serial: newest += 1, ...fields };
  conversation.items.push(item);
  take(conversation, item);
  trim(conversation, TRIM_BATCH);
  return item;
}

/** Puts what was said earlier, oldest first, before all that is here. @returns {Item[]} */
export function prepend(conversation, earlier) {
  oldest -= earlier.length;
  const items = earlier.map((fields, index) => ({ serial: oldest + index, ...fields }));
  conversation.items = items.concat(conversation.items);
  for (const item of items) take(conversation, item);
  return items;
}

/** Nothing was said, as far as anybody knows. */
export function empty(conversation) {
  Object.assign(conversation, { items: [], messages: 0, more: conversation.kind === 'room' ? null : false });
  conversation.byPosition.clear();
}

function take(conversation, item) {
  if (!isMessage(item)) return;
  conversation.messages += 1;
  if (item.position) conversation.byPosition.set(item.position, item);
}

/**
 * Lets the oldest items go that are too many: with each message what stands before it. Presence never takes the place of a message.
 * @param {Conversation} conversation @param {number} [batch]  when more than so many are too many
 */
export function trim(conversation, batch = 0) {
  const { items, byPosition, messagesMax } = conversation;
  if (conversation.messages <= messagesMax + batch) return;
  let gone = 0;
  while (conversation.messages > messagesMax || (gone && !isMessage(items[gone]))) {
    const item = items[gone];
    gone += 1;
    if (!isMessage(item)) continue;
    conversation.messages -= 1;
    if (byPosition.get(item.position) === item) byPosition.delete(item.position);
  }
  items.splice(0, gone);
  if (conversation.kind === 'room') conversation.more = true;
}

/** Lets one message go from among the others. @param {Item} item */
export function remove(conversation, item) {
  conversation.items.splice(conversation.items.indexOf(item), 1);
  conversation.messages -= 1;
  if (conversation.byPosition.get(item.position) === item) conversation.byPosition.delete(item.position);
}

/** Somebody came or left. Since the item before, each counts once: however often they do, nothing is added. */
export function note(conversation, name, guest, came) {
  const last = conversation.items.at(-1);
  const item = last?.kind === 'presence' ? last : append(conversation, { kind: 'presence', people: new Map(), others: { came: 0, left: 0 }, changes: 0 });
  const { people, others } = item;
  const person = people.get(name);
  if (person) person.here = came;
  else if (people.size < PRESENCE_NAMES_MAX) people.set(name, { guest, came, here: came });
  else if (came && others.left) others.left -= 1;
  else if (!came && others.came) others.came -= 1;
  else others[came ? 'came' : 'left'] += 1;
  item.changes += 1;
}

/** Nobody reads earlier messages any more. */
export function leaveEarlier(conversation) {
  conversation.messagesMax = MESSAGES_MAX;
  trim(conversation);
}

/** What we sent becomes part of the conversation without waiting for its echo, which may be lost. */
export function settleSent(conversation, ourName) {
  for (const [id, { status, content, position, createdAt }] of conversation.outgoing) {
    if (status !== 'sent') continue;
    conversation.outgoing.delete(id);
    if (isDeleted(conversation, position)) continue;
    conversation.shown.add(id);
    append(conversation, { kind: 'message', from: ourName, mine: true, content, position, at: new Date(createdAt) });
  }
}

/** Whether a moderator has deleted what was said here. */
export function isDeleted({ byPosition }, position) {
  const item = byPosition.get(position);
  return Boolean(item && (item.gone || item.kind === 'deleted'));
}

/** Takes the content of a message away; where it stood stays. @returns {Item|undefined}  that has changed */
export function erase(conversation, position) {
  for (const [id, message] of conversation.outgoing) if (message.position === position) conversation.outgoing.delete(id);
  const item = conversation.byPosition.get(position);
  if (item?.kind !== 'message' || item.gone) return undefined;
  if (conversation.unread && !item.mine && item.serial >= conversation.unreadFrom) {
    conversation.unread -= 1;
    if (item.mentionsUs) conversation.mentioned -= 1;
  }
  return Object.assign(item, { gone: true, content: '' });
}
