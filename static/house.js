// The house as this page knows it: who we are in it, the conversations and the rooms, and which conversation is shown.
// It knows no element of the page. Whoever shows or keeps something listens to its events:
//
//   change     something is to be rendered; gathered, so that a busy room costs one rendering a frame
//   show       a conversation is to be shown, or none [{former}]; it may be the one that is shown already
//   standing   how we stand to the conversation that is shown has changed
//   moved      the rooms we are in have changed, or the conversation that is shown
//   history    the items of the conversation that is shown were told anew
//   replaced   an item of the conversation that is shown has changed where it stands [{item}]
//   heard      a message has arrived [{conversation, item, past}]   past: it was said before we came
//   hiding     who is hidden has changed
//   problem    the server refused something that has no place of its own [{code}]
//   welcomed   we are in the house: for the first time, or again after its door was shown
//   out        the door is shown again
//   left       the stay is over: nothing of it is to be kept

import { nameOf } from './sarang.js';
import { append, begin, isAfter, keyOf, markOf, remove } from './conversation.js';
import { isHidden } from './hiding.js';
import { mentionsUs } from './mentions.js';

/** @typedef {import('./conversation.js').Conversation} Conversation */

/**
 * @typedef {object} Who   @property {string} name
 * @property {?import('./session.js').Session} session  of an account; a guest has none @property {boolean} [guest]  is marked as one
 */

/** How long changes are gathered at most. */
const FRAMELESS_MS = 250;
/** Whispers kept, with so many people. */
const WHISPERS_MAX = 100;
/** Messages of hidden people that come in are kept for when they are shown again, but take the place of so many others only. */
const HIDDEN_MESSAGES_MAX = 50;

class House extends EventTarget {
  /** @type {?Who} */ me = null;
  /** @type {?import('./sarang.js').Sarang} */ chat = null;
  /** @type {Map<string, Conversation>} */ conversations = new Map();
  /** @type {?Conversation} */ active = null;
  /** name → {name, max_users, users}, as the server lists them */ rooms = new Map();
  /** The house is shown, not its door. */ welcomed = false;
  /** Whether the end of the conversation that is shown can be seen. */ isAtEnd = () => true;
  /** Keys of the conversations that were shown, the last one last. @type {Set<string>} */ #visited = new Set();
  #changing = false;

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  on(type, handle) {
    this.addEventListener(type, ({ detail }) => handle(detail));
  }

  changed() {
    if (this.#changing) return;
    this.#changing = true;
    let frame, timer;
    const tell = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      this.#changing = false;
      this.tell('change');
    };
    frame = requestAnimationFrame(tell);
    timer = setTimeout(tell, FRAMELESS_MS); // a page that is not seen has no frames
  }

  /** @returns {Conversation|undefined}  which exists already */
  room(name) {
    return this.conversations.get(keyOf('room', name));
  }

  /** @param {boolean} [guest]  undefined: as far as it is known already @returns {Conversation} */
  whispersWith(name, guest) {
    if (!this.conversations.has(keyOf('whisper', name))) this.#makeRoomForWhispers();
    const whispers = this.#conversation('whisper', name);
    whispers.guest = guest ?? whispers.guest;
    return whispers;
  }

  /** Of too many whispers, the oldest of somebody who was never answered is closed. */
  #makeRoomForWhispers() {
    const whispers = [...this.conversations.values()].filter(({ kind }) => kind === 'whisper');
    if (whispers.length < WHISPERS_MAX) return;
    const others = whispers.filter((each) => each !== this.active);
    const { key } = others.find(({ familiar }) => !familiar) ?? others[0];
    this.conversations.delete(key);
    this.#visited.delete(key);
  }

  /** Opens the whispers with somebody: they are no stranger from now on. */
  whisperTo(name, guest) {
    const whispers = this.whispersWith(name, guest);
    whispers.familiar = true;
    this.show(whispers);
  }

  #conversation(kind, name) {
    const key = keyOf(kind, name);
    if (!this.conversations.has(key)) this.conversations.set(key, begin(kind, name, this.chat.state.name !== 'connected'));
    return this.conversations.get(key);
  }

  /** That a message of ours belongs to. @param {import('./sarang.js').Outgoing} message */
  conversationOf({ kind, room, to }) {
    return this.conversations.get(kind === 'chat' ? keyOf('room', room) : keyOf('whisper', to));
  }

  isRead(conversation) {
    return conversation === this.active && document.visibilityState === 'visible' && this.isAtEnd();
  }

  markRead() {
    if (this.active && this.isRead(this.active)) Object.assign(this.active, { unread: 0, mentioned: 0 });
  }

  /** What others have said whose words one wants to see. @param {Conversation} conversation */
  saidByOthers({ items }) {
    return items.filter(({ kind, from, guest, mine }) => kind === 'message' && !mine && !isHidden(from, guest));
  }

  /** Another tab has shown what was said up to a message. @param {Conversation} conversation  @param {import('./conversation.js').Mark} mark */
  readUpTo(conversation, mark) {
    conversation.readUpTo = mark;
    if (!conversation.unread) return;
    const left = this.saidByOthers(conversation).filter((item) => item.serial >= conversation.unreadFrom && isAfter(markOf(item), mark));
    conversation.unread = Math.min(conversation.unread, left.length);
    conversation.mentioned = Math.min(conversation.mentioned, left.filter(({ mentionsUs: isCall }) => isCall).length);
    conversation.unreadFrom = left[0]?.serial ?? null;
  }

  /** What `countFrom` goes on from in the next page. @returns {?import('./conversation.js').Tally}  null where nothing was told yet */
  tallyOf(conversation) {
    const { standing, items, unread, mentioned, unreadFrom, tally } = conversation;
    if (tally || standing === 'joining') return tally;
    const last = items.findLast(({ kind, mine }) => kind === 'message' && !mine);
    return { unread, mentioned, upTo: last ? markOf(last) : { at: 0, seq: 0 }, isMarked: unreadFrom !== null && conversation !== this.active };
  }

  /** Counts on from what was unread in the page before: what was said since, of the history that is told again, is unread too. */
  countFrom(conversation, { unread, mentioned, upTo, isMarked }) {
    if (this.isRead(conversation)) return;
    const others = this.saidByOthers(conversation);
    const since = others.filter((item) => isAfter(markOf(item), upTo) && isAfter(markOf(item), conversation.readUpTo));
    const all = unread + since.length;
    conversation.unread = conversation.more ? all : Math.min(all, others.length);
    conversation.mentioned = Math.min(mentioned + since.filter(({ mentionsUs: isCall }) => isCall).length, conversation.unread);
    const isToBeMarked = unread ? isMarked : conversation !== this.active;
    conversation.unreadFrom = (isToBeMarked && conversation.unread && (others.at(-conversation.unread) ?? others[0])?.serial) || null;
  }

  /** Appends a message, and counts it as unread unless it is ours, of before, or read at once. */
  hear(conversation, fields, past) {
    const item = append(conversation, { kind: 'message', mentionsUs: !fields.mine && mentionsUs(fields.content, conversation, this.chat.username), ...fields });
    if (fields.mine) conversation.familiar = true;
    else if (isHidden(fields.from, fields.guest)) return past ? undefined : this.#boundHidden(conversation);
    if (!fields.mine && !past && isAfter(markOf(item), conversation.readUpTo) && !this.isRead(conversation)) {
      conversation.unreadFrom = conversation.unread ? conversation.unreadFrom : item.serial;
      conversation.unread += 1;
      if (item.mentionsUs) conversation.mentioned += 1;
    }
    this.tell('heard', { conversation, item, past });
  }

  #boundHidden(conversation) {
    const hidden = conversation.items.filter(({ kind, from, guest, mine }) => kind === 'message' && !mine && isHidden(from, guest));
    if (hidden.length > HIDDEN_MESSAGES_MAX) remove(conversation, hidden[0]);
  }

  enterRoom(name, andShow = true) {
    const room = this.#conversation('room', nameOf(name));
    if (room.standing === 'out') Object.assign(room, { standing: 'joining', putOut: false });
    this.chat.join(room.name);
    if (andShow) this.show(room);
  }

  /** We are not let into a room, or were put out of it. @param {{putOut?: boolean, impossible?: boolean}} [why] */
  refuse(name, refusal, { putOut = false, impossible = false } = {}) {
    const room = this.room(name);
    if (room) Object.assign(room, { standing: 'out', refusal, putOut, impossible, people: new Map() });
    if (room === this.active) this.tell('standing');
    this.tell('moved');
    this.chat.listRooms();
  }

  leave(conversation) {
    if (conversation.kind === 'room') this.chat.leave(conversation.name);
    this.forget(conversation);
  }

  forget(conversation) {
    if (!conversation || !this.conversations.delete(conversation.key)) return;
    this.#gone([conversation]);
    if (conversation.kind === 'room') this.chat?.listRooms();
  }

  /** @returns {number}  how many there were */
  closeWhispers() {
    const whispers = [...this.conversations.values()].filter(({ kind }) => kind === 'whisper');
    for (const { key } of whispers) this.conversations.delete(key);
    this.#gone(whispers);
    return whispers.length;
  }

  #gone(conversations) {
    for (const { key } of conversations) this.#visited.delete(key);
    if (conversations.includes(this.active)) this.show(this.conversations.get([...this.#visited].at(-1)) ?? this.#anyRoom());
    this.tell('moved');
  }

  #anyRoom() {
    return [...this.conversations.values()].find(({ kind }) => kind === 'room') ?? null;
  }

  /** @param {?Conversation} conversation */
  show(conversation) {
    const former = this.active;
    if (former && former !== conversation) former.unreadFrom = null;
    this.active = conversation ?? null;
    if (former?.impossible && former !== conversation) this.forget(former); // nobody goes back there
    if (conversation) {
      this.#visited.delete(conversation.key);
      this.#visited.add(conversation.key);
    }
    if (!this.welcomed) return;
    this.tell('show', { former });
    this.markRead();
    this.tell('moved');
  }

  /** @returns {?import('./sarang.js').Outgoing}  null where there is nothing to say it in */
  say(content) {
    const { active, chat } = this;
    if (!active) return null;
    const message = active.kind === 'room' ? chat.say(active.name, content) : chat.whisper(active.name, content);
    active.outgoing.set(message.id, message);
    active.familiar = true;
    active.unreadFrom = null;
    active.draft = '';
    return message;
  }

  /** Nothing of this stay is left. @param {boolean} [staysSignedIn]  in the other tabs */
  clear(staysSignedIn = false) {
    const former = this.chat;
    this.chat = null; // first, so that nothing it still says is heard
    former?.close();
    if (staysSignedIn) this.me?.session?.release();
    else this.me?.session?.leave();
    this.me = null;
    this.welcomed = false;
    this.conversations.clear();
    this.#visited.clear();
    this.active = null;
    this.tell('show', { former: null });
  }
}

export const house = new House();
