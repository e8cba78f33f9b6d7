/**
 * sarang.js: talk to a sarang server from a page, a worker, Node 22 or Deno. No dependency, no DOM.
 *
 *     import { Sarang } from './sarang.js';
 *     const chat = new Sarang({ url: 'ws://127.0.0.1:8000/ws?username=길동' });
 *     chat.addEventListener('chat', ({ detail }) => console.log(detail.username, detail.content));
 *     chat.join('tech');
 *     const sent = chat.say('tech', '안녕하세요');       // sent.status: 'pending', then 'sent' or 'failed'
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
 *   message      [Outgoing]          one of our own messages changed its status
 *   room_left    [{room, reason?, until?}]   with a `reason` we did not ask for it: a text, or kicked, banned, room_removed
 *   rooms        [{changed, removed}]   while rooms are watched: those that are new or have changed, names of those that are gone
 *   user_joined, user_left, room_users, room_list, error   as the server sent them
 *
 * @typedef {{name: 'connecting', attempt: number} | {name: 'connected'}
 *   | {name: 'reconnecting', attempt: number, retryInMs: number, retryAt: number, code: number, reason: string}
 *  | {name: 'closed', code: number, reason: string, until?: ?string}} State   `until`: 4006, of a ban
 *
 * @typedef {object} Outgoing  A message of ours. The object stays the same while its status changes.
 * @property {string} id
 * @property {'chat'|'whisper'} kind
 * @property {string} [room]        of a chat
 * @property {string} [to]          of a whisper
 * @property {string} content
 * @property {number} createdAt     milliseconds since 1970
 * @property {'pending'|'sent'|'failed'} status
 * @property {?string} error        why it failed: the server's code, or `queue_full`, `unconfirmed`, `closed`
 * @property {?string} position     of a chat that was acknowledged
 */

import { Asking, coded, newId } from './asking.js';
import { Past, seqOf } from './past.js';

const BACKOFF_BASE_MS = 500, BACKOFF_CAP_MS = 15_000;
/** A connection that lasted this long ends a row of failures. */
const STABLE_AFTER_MS = 5_000;
/** A browser is told nothing of a dead path: a question that stays unanswered is the only sign of one. */
const ANSWER_WAIT_MS = 20_000;
/** The server knows an id for 5 minutes; half a minute is left for the way. */
const RESEND_WITHIN_MS = 270_000;
/** A message that was on its way when this many connections broke may be what breaks them. */
const ATTEMPTS_MAX = 5;
/** Fewer than the errors in a row for which the server hangs up (10). */
const IN_FLIGHT_MAX = 8;
/** How long the echo of an acknowledged whisper is recognised as ours. */
const ECHO_WAIT_MS = 5_000;
/** A fresh ticket can be lost on its way, e.g. to a restart of the server; so many in a row are not. */
const TICKETS_REFUSED_MAX = 3;
const PAUSE_BASE_MS = 1_000, PAUSE_CAP_MS = 8_000;
/** Unsent messages kept, when the caller names no other limit. */
export const QUEUE_MAX = 200;

/** A moderator put us out: to come back at once is not ours to decide. */
const PUT_OUT = 4006;
/** Close codes after which another attempt would be refused too. Not 1013: it is not, once another connection has ended. */
const FINAL_CODES = new Set([4001, 4003, 4005, PUT_OUT]);
const JOIN_ERRORS = new Set(['room_full', 'room_not_found', 'already_in_room', 'bad_room_name', 'too_many_rooms', 'rate_limited']);

export { newId };

/** As UTF-8 can have it: without lone surrogates. (`toWellFormed` is not in every browser.) */
const wellFormed = (text) => text.replace(/\p{Surrogate}/gu, '\ufffd');
export const nameOf = (text) => wellFormed(text).normalize(); // the server's names are NFC

export class Sarang extends EventTarget {
  /** @type {State} */ state = { name: 'connecting', attempt: 0 };
  /** The name the server knows us by. @type {?string} */ username = null;
  /** Whether the server lets us moderate. */ admin = false;

  #url; #key; #ticketed; #queueMax; #WebSocket;
  #socket = null; #listing = false; #watching = false;
  #turn = 0; // each attempt has its own number: events of an older socket are void
  #retryTimer; #stableTimer; #answerTimer; #pauseTimer;
  #attempt = 0; #pauseMs = 0; #joins = 0;
  #ticketsRefused = 0; // in a row
  #asking = new Asking((message) => this.#send(message));
  /** name → {name, status: 'waiting'|'joining'|'joined', request, past}; in the order of `join()` */
  #rooms = new Map();
  /** id → {message, inFlight, attempts, firstSentAt, seenAt, rejoined}; in the order of sending */
  #outgoing = new Map();
  #listeners = new AbortController();

  /**
   * Connects at once.
   * @param {object} options
   * @param {string | (() => string | Promise<string>)} options.url  Address of `/ws`; a function is called afresh for
   *   each attempt, e.g. to fetch a one-use ticket. An error it throws counts as a failed attempt, one with
   *   `retry === false` closes with 4001.
   * @param {string} [options.key]  A guest's secret of 16–64 characters, such as `newId()`: nobody else is let in under our
   *   name (4005) while we are here and for a moment after. Connections with the same name and key share it.
   * @param {boolean} [options.ticketed]  Each address holds a ticket of its own: a refused one (4001) is no verdict on
   *   who we are, and another is fetched, a few times. What is final, `url` says with `retry === false`.
   * @param {number} [options.queueMax]  Unsent messages kept at most; one more fails with `queue_full`.
   * @param {typeof WebSocket} [options.WebSocket]  Another implementation.
   */
  constructor({ url, key, ticketed = false, queueMax = QUEUE_MAX, WebSocket = globalThis.WebSocket }) {
    super();
    [this.#url, this.#key, this.#ticketed, this.#queueMax, this.#WebSocket] = [url, key, ticketed, queueMax, WebSocket];
    const { signal } = this.#listeners;
    const wake = () => {
      if (globalThis.document?.visibilityState === 'hidden') return;
      // The network is back, or the page is looked at again: the connection may have died meanwhile.
      this.retryNow();
      this.listRooms();
    };
    globalThis.addEventListener?.('online', wake, { signal });
    globalThis.document?.addEventListener('visibilitychange', wake, { signal });
    this.#open();
  }

  /** Wants to be in a room, now and after each reconnection. Answered by `room_joined` or `join_failed`. */
  join(wanted) {
    const name = nameOf(wanted);
    if (this.state.name === 'closed' || this.#rooms.has(name)) return;
    const room = { name, status: 'waiting', request: null, past: new Past() };
    this.#rooms.set(name, room);
    if (this.state.name === 'connected') this.#join(room);
  }

  /** Answered by `room_left`. What was not sent yet fails with `not_in_room`. */
  leave(name) {
    const room = this.#rooms.get(nameOf(name));
    if (!room) return;
    this.#forget(room, 'not_in_room');
    if (room.status === 'waiting') this.#emit('room_left', { room: room.name });
    else this.#send({ type: 'leave', room: room.name });
  }

  /** @returns {Outgoing} */
  say(room, content) {
    return this.#enqueue({ kind: 'chat', room: nameOf(room), content });
  }

  /** @returns {Outgoing} */
  whisper(to, content) {
    return this.#enqueue({ kind: 'whisper', to: nameOf(to), content });
  }

  /** Sends a failed message again, under its id. @param {Outgoing} message */
  retry(message) {
    if (message.status === 'failed') this.#admit(message);
    return message;
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
   *   with those that were reported; one of them may have been reported already. `more`: there are older ones.
   *   Rejected with an error that has a `code`: the server's, `timeout`, or `closed` without a connection.
   */
  async history(room, { before, limit } = {}) {
    const name = nameOf(room);
    const past = this.#rooms.get(name)?.past;
    if (!past) throw coded('not_in_room');
    const { id, ...answer } = await this.#ask('history', { room: name, before: before && past.nowAt(before), limit });
    const messages = answer.messages.map((message) => {
      const position = past.reportedAt(message.position);
      return { ...message, position, id: this.#idAt(name, message.position) };
    });
    return { ...answer, messages, more: Boolean(answer.more), position: answer.position ?? null };
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
    if (this.state.name === 'reconnecting') this.#open();
  }

  /** Ends it for good; unsent messages fail with `closed`. */
  close() {
    if (this.state.name !== 'closed') this.#end(1000, '');
  }

  // Connection

  async #open() {
    const turn = ++this.#turn;
    clearTimeout(this.#retryTimer);
    this.#setState({ name: 'connecting', attempt: this.#attempt });
    this.#awaitAnswer();
    try {
      const url = typeof this.#url === 'function' ? await this.#url() : this.#url;
      if (turn !== this.#turn) return;
      const socket = new this.#WebSocket(this.#key ? `${url}&key=${encodeURIComponent(this.#key)}` : url);
      this.#socket = socket;
      socket.onmessage = ({ data }) => turn === this.#turn && this.#receive(data);
      socket.onclose = ({ code, reason }) => turn === this.#turn && this.#lost(code, reason);
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error?.retry === false) this.#end(4001, error.message);
      else this.#lost(1006, String(error?.message ?? error));
    }
  }

  #lost(code, reason) {
    if (code === 4001 && this.#ticketed) this.#ticketsRefused += 1;
    const another = code === 4001 && this.#ticketed && this.#ticketsRefused < TICKETS_REFUSED_MAX;
    if (FINAL_CODES.has(code) && !another) return this.#end(code, reason);
    this.#disconnect();
    const retryInMs = Math.round(Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** this.#attempt));
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => this.#open(), retryInMs);
    this.#setState({ name: 'reconnecting', attempt: this.#attempt, retryInMs, retryAt: Date.now() + retryInMs, code, reason });
  }

  #end(code, reason, until) {
    this.#disconnect();
    this.#listeners.abort();
    this.#setState({ name: 'closed', code, reason, until });
    for (const entry of [...this.#outgoing.values()]) this.#fail(entry, 'closed');
    this.#rooms.clear();
  }

  #disconnect() {
    this.#turn += 1;
    this.#socket?.close();
    this.#socket = null;
    this.#listing = false;
    for (const timer of [this.#retryTimer, this.#stableTimer, this.#answerTimer, this.#pauseTimer]) clearTimeout(timer);
    this.#pauseTimer = undefined;
    for (const room of this.#rooms.values()) room.status = 'waiting';
    for (const entry of this.#outgoing.values()) entry.inFlight = false;
    this.#asking.rejectAll('closed');
  }

  #awaitAnswer() {
    clearTimeout(this.#answerTimer);
    const waiting = this.state.name === 'connecting' || this.#listing || this.#asking.isWaiting
      || [...this.#rooms.values()].some((room) => room.status === 'joining')
      || [...this.#outgoing.values()].some((entry) => entry.inFlight);
    if (waiting) this.#answerTimer = setTimeout(() => this.#lost(1006, 'no answer'), ANSWER_WAIT_MS);
  }

  #send(object) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(object));
    this.#awaitAnswer();
  }

  async #ask(type, fields) {
    if (this.state.name !== 'connected') throw coded('closed');
    return this.#asking.ask(type, fields);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #setState(state) {
    this.state = state;
    this.#emit('state', state);
  }

  // What the server says

  #receive(data) {
    let event;
    try { event = JSON.parse(data); } catch { return; }
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
      case 'kicked': case 'banned': this.#end(PUT_OUT, event.reason, event.until); break;
      case 'user_joined': case 'user_left': case 'room_users':
        if (this.#rooms.get(event.room)?.status === 'joined') this.#emit(event.type, event);
    }
    this.#awaitAnswer();
  }

  #welcomed(event) {
    this.admin = Boolean(event.admin);
    // Within a connection it is the answer to an extension.
    if (this.state.name === 'connected') return this.#asking.answerOldest('auth', event);
    this.#ticketsRefused = 0;
    this.username = event.username;
    this.#stableTimer = setTimeout(() => { this.#attempt = 0; }, STABLE_AFTER_MS);
    this.#setState({ name: 'connected' });
    this.#emit('welcome', event);
    if (this.#watching && !this.#listing) this.listRooms();
    this.#resume();
  }

  #roomsChanged({ changed = [], removed = [], reload = false }) {
    if (!this.#watching) return;
    if (!reload) this.#emit('rooms', { changed, removed });
    else if (!this.#listing) this.listRooms();
  }

  #join(room) {
    room.status = 'joining';
    room.request = `join-${this.#joins += 1}`;
    this.#send({ type: 'join', room: room.name, since: room.past.position, id: room.request });
  }

  #joined(event) {
    const room = this.#rooms.get(event.room);
    if (!room) return; // left before the answer came
    const { first, renewed, fresh, deleted, gap } = room.past.take(event);
    if (renewed) this.#settleSeen(room, ({ seenAt }) => seenAt);
    const messages = fresh.map((message) => this.#report(room, message));
    this.#settleSeen(room, ({ message }) => message.status === 'sent'); // its echo fell into a gap
    room.status = 'joined';
    this.#emit('room_joined', { ...event, messages, first, gap });
    for (const position of deleted) this.#emit('deleted', { room: room.name, position });
    this.#flush();
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

  #acknowledged({ id, position = null }) {
    const entry = this.#outgoing.get(id);
    if (entry?.message.status !== 'pending') return;
    this.#pauseMs = 0;
    entry.inFlight = false;
    const room = this.#rooms.get(entry.message.room);
    if (entry.seenAt || (position && room?.past.has(position))) this.#outgoing.delete(id);
    // A whisper is in no history, and one that the server knew already is not echoed again.
    else if (!position) setTimeout(() => this.#outgoing.delete(id), ECHO_WAIT_MS);
    this.#settle(entry, 'sent', null, position);
    this.#flush();
  }

  #refused(event) {
    if (this.#asking.answer(event)) return;
    const rooms = [...this.#rooms.values()].filter((room) => room.status === 'joining');
    // Joins are answered in order, so an error without an id is about the oldest of them.
    const room = event.id ? rooms.find(({ request }) => request === event.id) : JOIN_ERRORS.has(event.code) && rooms[0];
    const entry = this.#outgoing.get(event.id);
    if (room) this.#joinRefused(room, event);
    else if (entry?.message.status === 'pending') this.#messageRefused(entry, event);
    else if (event.code === 'rate_limited') this.#pause();
    else this.#emit('error', event);
  }

  #joinRefused(room, { code, message, reason, until }) {
    if (code === 'rate_limited' || code === 'backend_unavailable') {
      room.status = 'waiting';
      this.#pause();
    } else if (code === 'already_in_room') {
      room.status = 'joined';
      this.#flush();
    } else {
      this.#forget(room, code);
      this.#emit('join_failed', { room: room.name, code, message, reason, until });
    }
  }

  #messageRefused(entry, { code }) {
    entry.inFlight = false;
    const room = this.#rooms.get(entry.message.room);
    if (code === 'rate_limited') {
      entry.attempts -= 1; // not taken, so it can not come twice
      if (entry.attempts === 0) entry.firstSentAt = null;
      this.#pause();
    } else if (code === 'not_in_room' && room && !entry.rejoined) {
      entry.rejoined = true;
      if (room.status === 'joined') this.#join(room);
    } else {
      this.#fail(entry, code);
      this.#flush();
    }
  }

  // What we say

  #enqueue(fields) {
    const content = wellFormed(fields.content);
    return this.#admit({ id: newId(), ...fields, content, createdAt: Date.now(), status: 'pending', error: null, position: null });
  }

  #admit(message) {
    const error = this.state.name === 'closed' ? 'closed'
      : message.kind === 'chat' && !this.#rooms.has(message.room) ? 'not_in_room'
        : this.#outgoing.size >= this.#queueMax ? 'queue_full' : null;
    Object.assign(message, { status: error ? 'failed' : 'pending', error });
    if (!error) {
      this.#outgoing.set(message.id, { message, inFlight: false, attempts: 0, firstSentAt: null, seenAt: null, rejoined: false });
      this.#flush();
    }
    return message;
  }

  #flush() {
    if (this.state.name !== 'connected' || this.#pauseTimer) return;
    const pending = [...this.#outgoing.values()].filter(({ message }) => message.status === 'pending');
    let inFlight = pending.filter((entry) => entry.inFlight).length;
    for (const entry of pending) {
      const { id, kind, room, to, content } = entry.message;
      if (entry.inFlight || (kind === 'chat' && this.#rooms.get(room)?.status !== 'joined')) continue;
      if (inFlight >= IN_FLIGHT_MAX) return;
      const now = Date.now();
      entry.firstSentAt ??= now;
      if (entry.attempts >= ATTEMPTS_MAX || now - entry.firstSentAt > RESEND_WITHIN_MS) {
        this.#fail(entry, 'unconfirmed'); // it may have arrived; only a human can tell whether to say it again
        continue;
      }
      entry.inFlight = true;
      entry.attempts += 1;
      inFlight += 1;
      this.#send(kind === 'chat' ? { type: 'chat', room, content, id } : { type: 'whisper', to, content, id });
    }
  }

  #pause() {
    this.#pauseMs = Math.min(PAUSE_CAP_MS, this.#pauseMs * 2 || PAUSE_BASE_MS);
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = setTimeout(() => this.#resume(), this.#pauseMs);
  }

  #resume() {
    this.#pauseTimer = undefined;
    for (const room of this.#rooms.values()) if (room.status === 'waiting') this.#join(room);
    this.#flush();
  }

  /**
   * The id of our own message that a chat or a whisper echoes. The server names no id there, but it names the position
   * in the ack; when the echo comes before the ack, the oldest unanswered message with the same words is taken for it.
   */
  #claim({ username, from, room, to, content, position }) {
    if ((username ?? from) !== this.username) return undefined;
    const mine = [...this.#outgoing.values()].filter(({ message }) => message.content === content
      && message.room === room && message.to === to);
    const acknowledged = mine.find(({ message }) => message.status === 'sent' && (!position || seqOf(message.position) === seqOf(position)));
    if (acknowledged) this.#outgoing.delete(acknowledged.message.id);
    const entry = acknowledged ?? mine.find(({ message, attempts, seenAt }) => message.status === 'pending' && attempts && !seenAt);
    if (entry) entry.seenAt = position ?? from;
    return entry?.message.id;
  }

  #idAt(room, position) {
    const at = ({ seenAt, message }) => (seenAt ?? message.position) === position;
    return [...this.#outgoing.values()].find((entry) => entry.message.room === room && at(entry))?.message.id;
  }

  /** The room's past is gone, and with it the server's memory of ids: what was seen there was sent. */
  #settleSeen(room, isSeen) {
    for (const [id, entry] of this.#outgoing) {
      if (entry.message.room !== room.name || !isSeen(entry)) continue;
      this.#outgoing.delete(id);
      this.#settle(entry, 'sent', null, entry.seenAt ?? entry.message.position);
    }
  }

  #forget(room, code) {
    this.#rooms.delete(room.name);
    for (const entry of [...this.#outgoing.values()]) if (entry.message.room === room.name) this.#fail(entry, code);
  }

  #fail(entry, code) {
    this.#outgoing.delete(entry.message.id);
    if (entry.message.status === 'pending') this.#settle(entry, 'failed', code, null);
  }

  #settle({ message }, status, error, position) {
    Object.assign(message, { status, error, position });
    this.#emit('message', message);
  }
}
