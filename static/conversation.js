// A conversation as the page keeps it: a room that was entered, or the whispers with one person. What becomes of its items
// without the server, the screen or another conversation.

/** Messages kept and shown of a conversation. */
export const ITEMS_MAX = 500;

/**
 * @typedef {object} Item  What a conversation is a list of.
 * @property {number} serial             grows; shared by no other item
 * @property {'message'|'deleted'|'presence'|'gap'} kind   deleted: by a moderator, before it was read here
 * @property {string} [from] @property {boolean} [guest] @property {boolean} [mine] @property {string} [content] @property {Date} [at]   a message
 * @property {boolean} [mentionsUs]       has our name behind an @, and is not ours
 * @property {string} [position]         in a room @property {boolean} [gone]   deleted since it was read: its content is empty
 * @property {boolean} [entered] @property {{name: string, guest: boolean}[]} [names]                        presence
 */

/**
 * @typedef {object} Conversation
 * @property {string} key @property {'room'|'whisper'} kind @property {string} name
 * @property {Item[]} items        what was said, bounded
 * @property {Map<string, import('./sarang.js').Outgoing>} outgoing   our own messages that are not among the items yet
 * @property {Set<string>} shown   ids of our messages that are among the items before their echo came
 * @property {'joining'|'in'|'out'} standing   out: not let in, or put out of it (`putOut`), for the reason `refusal`
 * @property {string} refusal @property {boolean} putOut
 * @property {Map<string, boolean>} people  the others in the room, as far as they are told: whether each is a guest
 * @property {number} present      how many are in the room, we too
 * @property {number} mentioned    unread items that mention us; they are among the `unread`
 * @property {number} unread @property {?number} unreadFrom   serial of the first unread item
 * @property {boolean} guest       of whispers: with a guest @property {boolean} familiar   of whispers: we have written there, or opened them by ourselves
 * @property {string} draft @property {boolean} waiting   for the connection to come back
 */

let serial = 0;

export const keyOf = (kind, name) => `${kind} ${name}`;

/** A room that a reload leads back into. @param {Conversation} conversation */
export const isWanted = ({ kind, putOut }) => kind === 'room' && !putOut;

/** @returns {Conversation} */
export const begin = (kind, name, waiting) => ({
  key: keyOf(kind, name), kind, name, items: [], outgoing: new Map(), shown: new Set(), standing: kind === 'room' ? 'joining' : 'in', refusal: '',
  putOut: false, people: new Map(), present: 0, unread: 0, mentioned: 0, unreadFrom: null, draft: '', waiting, guest: false, familiar: false,
});

export function append(conversation, fields) {
  const item = { serial: serial += 1, ...fields };
  conversation.items.push(item);
  if (conversation.items.length > ITEMS_MAX) conversation.items.shift();
  return item;
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
export const isDeleted = ({ items }, position) => Boolean(position) && items.some((item) => item.position === position && (item.gone || item.kind === 'deleted'));

/** Takes the content of a message away; where it stood stays. @returns {Item|undefined}  that has changed */
export function erase(conversation, position) {
  for (const [id, message] of conversation.outgoing) if (message.position === position) conversation.outgoing.delete(id);
  const item = conversation.items.find((other) => other.kind === 'message' && other.position === position);
  if (!item || item.gone) return undefined;
  if (conversation.unread && !item.mine && item.serial >= conversation.unreadFrom) {
    conversation.unread -= 1;
    if (item.mentionsUs) conversation.mentioned -= 1;
  }
  return Object.assign(item, { gone: true, content: '' });
}
