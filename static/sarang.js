/**
 * sarang.js: talk to a sarang server from a page, a worker, Node 22, Deno or Bun. No dependency, no DOM.
 *
 *     import { Sarang } from './sarang.js';
 *     const chat = new Sarang({ url: 'ws://127.0.0.1:8000/ws?username=길동' });
 *     chat.addEventListener('chat', ({ detail }) => console.log(detail.username, detail.content));
 *     await chat.join('tech');
 *     const sent = chat.say('tech', '안녕하세요');       // sent.status: 'pending', then 'sent' or 'failed'
 *     await sent;                                        // if one wants to wait
 *
 * It keeps three promises over any number of broken connections:
 *   - each message of a joined room is reported once and in order, or `gap` says that some are gone;
 *   - what was said while offline is sent in order once its room is joined again, with the same id until the
 *     server has acknowledged it (the server takes an id once), or it is reported as failed;
 *   - it comes back by itself, unless the server refuses who or where we are, or a moderator put us out.
 *
 * Someone with an account connects with one-use tickets, and extends the session before its token expires:
 *     const chat = new Sarang({ url: async () => `ws://127.0.0.1:8000/ws?ticket=${await fetchTicket()}`, ticketed: true });
 *     await chat.extend(await fetchTicket());
 *
 * The server's event streams are followed with `events()` of events.js, which is exported from here.
 *
 * Events (each a CustomEvent; its `detail` in brackets):
 *   state        [State]             also kept in `chat.state`
 *   welcome      [{username, expires_at, guest?}]   `guest`, here and below: is marked as a guest
 *   room_joined  [{room, messages, gap, first, recovered, online_users, guests?, online_count, position, history}]
 *                `messages` are those of `history` that were not reported before: append them. `gap`: some between
 *                what was reported and these are gone for good, or may be. `first`: the first time since `join()`.
 *                Where a moderator deleted one, `messages` have `{type: 'deleted', room, position}` in its place.
 *   join_failed  [{room, code, message, reason?, until?}]   room_full, forbidden, …: given up until the next `join()`;
 *                with the moderator's `reason` and, for a ban, the time it ends or null
 *   chat         [{room, username, content, timestamp, position, guest?, id?, gap?}]   `id`: of our own Outgoing message
 *   deleted      [{room, position}]   a moderator deleted the message that was reported with this position, perhaps again
 *   whisper      [{from, to, content, timestamp, guest?, id?}]
 *   message      [Outgoing]          one of our own messages was sent or has failed
 *   room_left    [{room, reason?, until?}]   with a `reason` we did not ask for it: a text, or kicked, banned, room_removed
 *   rooms        [{changed, removed}]   while rooms are watched: those that are new or have changed, names of those that are gone
 *   user_joined, user_left, room_users, room_list, error   as the server sent them
 *
 * @typedef {import('./connection.js').State} State
 * @typedef {import('./outgoing.js').Outgoing} Outgoing
 */

import { Asking, coded } from './asking.js';
import { Connection, PUT_OUT } from './connection.js';
import { nameOf, newId } from './names.js';
import { Outbox, Outgoing, QUEUE_MAX } from './outgoing.js';
import { Past } from './past.js';

export { EventStream, events } from './events.js';
export { QUEUE_MAX, nameOf, newId };

/** The server took something for too much at once: so long nothing more is sent. */
const PAUSE_BASE_MS = 1_000, PAUSE_CAP_MS = 8_000;
const JOIN_ERRORS = new Set(['room_full', 'room_not_found', 'already_in_room', 'bad_room_name', 'too_many_rooms', 'rate_limited']);

/** Of a room that we were in already, so that nothing was told of it. */
const untold = (room) => ({
  type: 'room_joined', room, history: [], messages: [], first: true, gap: true, recovered: false, online_users: [], online_count: 1, position: null,
});

export class Sarang extends EventTarget {
  /** The name the server knows us by. @type {?string} */ username = null;
  /** Whether the server lets us moderate. */ admin = false;

  #connection; #outbox;
  #asking = new Asking((message) => this.#send(message));
  /** name → {name, status: 'waiting'|'joining'|'joined', request, past, entered, resolve, reject}; in the order of `join()` */
  #rooms = new Map();
  #listing = false; #watching = false;
  #pauseTimer; #pauseMs = 0;
  #listeners = new AbortController();

  /**
   * Connects at once. Throws a TypeError where there is no WebSocket, or for an address that is none.
   * @param {object} options
   * @param {string | URL | (() => string | URL | Promise<string | URL>)} options.url  Address of `/ws`; a function is called
   *   afresh for each attempt, e.g. to fetch a one-use ticket. An error it throws counts as a failed attempt, one with
   *   `retry === false` closes with 4001.
   * @param {string} [options.key]  A guest's secret of 16–64 characters, such as `newId()`: nobody else is let in under our
   *   name (4005) while we are here and for a moment after. Connections with the same name and key share it.
   * @param {boolean} [options.ticketed]  Each address holds a ticket of its own: a refused one (4001) is no verdict on
   *   who we are, and another is fetched, a few times. What is final, `url` says with `retry === false`.
   * @param {number} [options.queueMax]  Unsent messages kept at most; one more fails with `queue_full`.
   * @param {typeof WebSocket} [options.WebSocket]  Another implementation.
   */
  constructor({ url, key, ticketed = false, queueMax = QUEUE_MAX, WebSocket = globalThis.WebSocket } = {}) {
    super();
    this.#connection = new Connection({ url, key, ticketed, WebSocket }, {
      received: (event) => this.#receive(event),
      disconnected: () => this.#disconnected(),
      changed: (state) => this.#stateChanged(state),
      isWaiting: () => this.#isWaiting,
    });
    this.#outbox = new Outbox(queueMax, {
      refusal: (message) => this.#refusal(message),
      isReady: (message) => this.#isReady(message),
      send: (message) => this.#send(message),
      changed: (message) => this.#emit('message', message),
    });
    const { signal } = this.#listeners;
    const wake = () => {
      if (globalThis.document?.visibilityState === 'hidden') return;
      // The network is back, or the page is looked at again: the connection may have died meanwhile.
      this.retryNow();
      this.listRooms();
    };
    globalThis.addEventListener?.('online', wake, { signal });
    globalThis.document?.addEventListener('visibilitychange', wake, { signal });
    this.#connection.open();
  }

  /** @type {State} */
  get state() {
    return this.#connection.state;
  }

  /**
   * Wants to be in a room, now and after each reconnection. Answered by `room_joined` or `join_failed`.
   * @returns {Promise<object>}  The detail of the first `room_joined`; rejected with an error that has the `code` of
   *   `join_failed`, `not_in_room` if we leave before, or `closed`. Nobody has to wait for it.
   */
  join(wanted) {
    const name = nameOf(wanted);
    const known = this.#rooms.get(name);
    if (known) return known.entered;
    const room = { name, status: 'waiting', request: null, past: new Past() };
    room.entered = new Promise((resolve, reject) => Object.assign(room, { resolve, reject }));
    room.entered.catch(() => { /* `join_failed` says it, too */ });
    if (this.state.name === 'closed') {
      room.reject(coded('closed'));
      return room.entered;
    }
    this.#rooms.set(name, room);
    if (this.state.name === 'connected') this.#join(room);
    return room.entered;
  }

  /** Answered by `room_left`. What was not sent yet fails with `not_in_room`. */
  leave(name) {
    const room = this.#rooms.get(nameOf(name));
    if (!room) return;
    this.#forget(room, 'not_in_room');
    if (room.status === 'waiting') this.#emit('room_left', { room: room.name });
    else this.#send({ type: 'leave', room: room.name });
  }

  /**
   * Says something in a room that was joined. Kept while offline.
   * @returns {Outgoing}  can be awaited: that it is sent, or has failed
   */
  say(room, content) {
    return this.#outbox.add(new Outgoing({ kind: 'chat', room: nameOf(room), content }));
  }

  /** @returns {Outgoing}  as `say()` */
  whisper(to, content) {
    return this.#outbox.add(new Outgoing({ kind: 'whisper', to: nameOf(to), content }));
  }

  /** Sends a failed message again, under its id. @param {Outgoing} message */
  retry(message) {
    return message.status === 'failed' ? this.#outbox.add(message) : message;
  }

  /** Answered by `room_list`, when connected. */
  listRooms() {
    if (this.state.name !== 'connected') return;
    this.#listing = true;
    this.#send({ type: 'room_list', watch: this.#watching || undefined });
  }

  /**
   * Asks for all rooms, and to be told of changes: `room_list` now, after each reconnection and when too much has changed,
   * `rooms` in between. A server that cannot tell of changes sends the lists alone.
   */
  watchRooms() {
    this.#watching = true;
    this.listRooms();
  }

  /** Ends `watchRooms()`. */
  unwatchRooms() {
    if (!this.#watching) return;
    this.#watching = false;
    if (this.state.name === 'connected') this.#send({ type: 'room_list', watch: false });
  }

  /**
   * What a room we are in keeps of its past, a page at a time.
   * @param {string} room
   * @param {{before?: string, limit?: number}} [page]  only what is older than this position, as it was reported; without
   *   one, the newest. At most `limit` messages (the server's default is 50).
   * @returns {Promise<{room: string, messages: object[], more: boolean, position: ?string}>}  Oldest first. Their positions go
   *   with those that were reported; one of them may have been reported already. `more`: there are older ones. There are none
   *   where `before` is of a past that the server has lost.
   *   Rejected with an error that has a `code`: the server's, `timeout`, or `closed` without a connection.
   */
  async history(room, { before, limit } = {}) {
    const name = nameOf(room);
    const past = this.#rooms.get(name)?.past;
    if (!past) throw coded('not_in_room');
    const { messages, more, recovered = true, position } = await this.#ask('history', { room: name, before: before && past.nowAt(before), limit });
    const isLost = Boolean(before) && !recovered; // these are the newest
    const reported = (message) => ({ ...message, position: past.reportedAt(message.position), id: this.#outbox.idAt(name, message.position) });
    return { room: name, messages: isLost ? [] : messages.map(reported), more: !isLost && Boolean(more), position: position ?? null };
  }

  /**
   * What moderators do, such as `act('kick', { user, room, reason })`, `act('ban', { user, seconds, reason })` or
   * `act('delete', { room, position })`; README.md lists all, under "Moderators and back ends".
   * @returns {Promise<object>}  The server's answer. Rejected with an error that has a `code`, as `history()`.
   */
  async act(type, fields = {}) {
    const { position, ...others } = fields;
    const past = this.#rooms.get(nameOf(fields.room ?? ''))?.past;
    const { id, ...answer } = await this.#ask(type, { ...others, position: position && (past?.nowAt(position) ?? position) });
    return answer;
  }

  /**
   * Extends the session with a fresh ticket of the same user, before the server ends it with 4002. The connection goes
   * on: its rooms and messages do not notice, and no `welcome` is reported.
   * @returns {Promise<{username: string, expires_at: string}>}  Rejected with an error that has the server's `code`, or
   *   `closed` when there is no connection to extend (the next one brings its own ticket).
   */
  async extend(ticket) {
    const { id, ...welcome } = await this.#ask('auth', { ticket });
    return welcome;
  }

  /** Does not wait for the rest of a backoff. */
  retryNow() {
    this.#connection.retryNow();
  }

  /** Ends it for good; unsent messages fail with `closed`. */
  close() {
    if (this.state.name !== 'closed') this.#connection.end(1000, '');
  }

  // Connection

  #stateChanged(state) {
    if (state.name === 'closed') this.#listeners.abort();
    this.#emit('state', state);
    if (state.name !== 'closed') return;
    this.#outbox.failAll('closed');
    for (const room of this.#rooms.values()) room.reject(coded('closed'));
    this.#rooms.clear();
  }

  #disconnected() {
    this.#listing = false;
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = undefined;
    for (const room of this.#rooms.values()) room.status = 'waiting';
    this.#outbox.disconnected();
    this.#asking.rejectAll('closed');
  }

  get #isWaiting() {
    return this.#listing || this.#asking.isWaiting || this.#outbox.isWaiting
      || [...this.#rooms.values()].some((room) => room.status === 'joining');
  }

  #send(object) {
    this.#connection.send(object);
  }

  async #ask(type, fields) {
    if (this.state.name !== 'connected') throw coded('closed');
    return this.#asking.ask(type, fields);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // What the server says

  #receive(event) {
    switch (event.type) {
      case 'welcome': this.#welcomed(event); break;
      case 'room_joined': this.#joined(event); break;
      case 'chat': this.#heard(event); break;
      case 'whisper': this.#emit('whisper', { ...event, id: this.#claim(event) }); break;
      case 'ack': if (!this.#asking.answer(event)) this.#acknowledged(event); break;
      case 'error': this.#refused(event); break;
      case 'room_list': this.#listing = false; this.#emit('room_list', event); break;
      case 'rooms': this.#roomsChanged(event); break;
      case 'history': case 'users': case 'user': case 'bans': case 'room': this.#asking.answer(event); break;
      case 'room_left': this.#left(event); break;
      case 'deleted': this.#deleted(event); break;
      case 'kicked': case 'banned': this.#connection.end(PUT_OUT, event.reason, event.until); break;
      case 'user_joined': case 'user_left': case 'room_users':
        if (this.#rooms.get(event.room)?.status === 'joined') this.#emit(event.type, event);
    }
  }

  #welcomed(event) {
    this.admin = Boolean(event.admin);
    // Within a connection it is the answer to an extension.
    if (this.state.name === 'connected') return this.#asking.answerOldest('auth', event);
    this.username = event.username;
    this.#connection.welcomed();
    this.#resume(); // what a page does on `welcome` takes its time: the server answers meanwhile
    this.#emit('welcome', event);
    if (this.#watching && !this.#listing) this.listRooms();
  }

  #roomsChanged({ changed = [], removed = [], reload = false }) {
    if (!this.#watching) return;
    if (!reload) this.#emit('rooms', { changed, removed });
    else if (!this.#listing) this.listRooms();
  }

  #join(room) {
    room.status = 'joining';
    room.request = newId();
    this.#send({ type: 'join', room: room.name, since: room.past.position, id: room.request });
  }

  #joined(event) {
    const room = this.#rooms.get(event.room);
    if (!room) return; // left before the answer came
    const { first, renewed, fresh, deleted, gap } = room.past.take(event);
    if (renewed) this.#outbox.settleSeen(room.name);
    const messages = fresh.map((message) => this.#report(room, message));
    this.#outbox.settleSent(room.name);
    room.status = 'joined';
    const detail = { ...event, messages, first, gap };
    this.#emit('room_joined', detail);
    room.resolve(detail);
    for (const position of deleted) this.#emit('deleted', { room: room.name, position });
    this.#outbox.flush();
  }

  #heard(event) {
    const room = this.#rooms.get(event.room);
    const gap = room?.status === 'joined' ? room.past.hear(event.position) : null;
    if (gap !== null) this.#emit('chat', { ...this.#report(room, event), gap });
  }

  #report(room, message) {
    room.past.note(message);
    return message.type === 'deleted' ? message : { ...message, id: this.#claim(message) };
  }

  #deleted({ room: name, position }) {
    const past = this.#rooms.get(name)?.past;
    if (past) this.#emit('deleted', { room: name, position: past.reportedAt(position) });
  }

  #left(event) {
    const room = this.#rooms.get(event.room);
    if (room && room.status !== 'joined') return; // wanted again already
    if (room) this.#forget(room, 'not_in_room');
    this.#emit('room_left', event);
  }

  #acknowledged(event) {
    const isReported = (room, position) => Boolean(this.#rooms.get(room)?.past.has(position));
    if (!this.#outbox.acknowledged(event, isReported)) return;
    this.#pauseMs = 0;
    this.#outbox.flush();
  }

  #refused(event) {
    if (this.#asking.answer(event)) return;
    const rooms = [...this.#rooms.values()].filter((room) => room.status === 'joining');
    // Joins are answered in order, so an error without an id is about the oldest of them.
    const room = event.id ? rooms.find(({ request }) => request === event.id) : JOIN_ERRORS.has(event.code) && rooms[0];
    if (room) this.#joinRefused(room, event);
    else if (this.#messageRefused(event)) return;
    else if (event.code === 'rate_limited') this.#pause();
    else this.#emit('error', event);
  }

  #joinRefused(room, { code, message, reason, until }) {
    if (code === 'rate_limited' || code === 'backend_unavailable') {
      room.status = 'waiting';
      this.#pause();
    } else if (code === 'already_in_room') {
      room.status = 'joined';
      room.resolve(untold(room.name));
      this.#outbox.flush();
    } else {
      this.#forget(room, code);
      this.#emit('join_failed', { room: room.name, code, message, reason, until });
    }
  }

  /** @returns {boolean} whether it names a message of ours */
  #messageRefused(event) {
    const room = this.#rooms.get(this.#outbox.roomOf(event.id));
    const outcome = this.#outbox.refused(event, (name) => this.#rooms.has(name));
    if (outcome === 'later') this.#pause();
    else if (outcome === 'rejoin' && room.status === 'joined') this.#join(room);
    else if (outcome === 'failed') this.#outbox.flush();
    return outcome !== null;
  }

  // What we say

  #refusal({ kind, room }) {
    if (this.state.name === 'closed') return 'closed';
    return kind === 'chat' && !this.#rooms.has(room) ? 'not_in_room' : null;
  }

  #isReady({ kind, room }) {
    if (this.state.name !== 'connected' || this.#pauseTimer) return false;
    return kind !== 'chat' || this.#rooms.get(room)?.status === 'joined';
  }

  #pause() {
    this.#pauseMs = Math.min(PAUSE_CAP_MS, this.#pauseMs * 2 || PAUSE_BASE_MS);
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = setTimeout(() => this.#resume(), this.#pauseMs);
  }

  #resume() {
    this.#pauseTimer = undefined;
    for (const room of this.#rooms.values()) if (room.status === 'waiting') this.#join(room);
    this.#outbox.flush();
  }

  /** The id of our own message that this is the echo of. */
  #claim({ username, from = username, ...echo }) {
    return from === this.username ? this.#outbox.claim({ from, ...echo }) : undefined;
  }

  #forget(room, code) {
    this.#rooms.delete(room.name);
    room.reject(coded(code));
    this.#outbox.failRoom(room.name, code);
  }
}
