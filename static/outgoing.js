// A part of sarang.js: what we say, from then until the server has acknowledged it.

import { coded } from './asking.js';
import { newId, wellFormed } from './names.js';
import { seqOf } from './past.js';

/** Unsent messages kept, when the caller names no other limit. */
export const QUEUE_MAX = 200;
/** The server knows an id for 5 minutes; half a minute is left for the way. */
const RESEND_WITHIN_MS = 270_000;
/** A message that was on its way when this many connections broke may be what breaks them. */
const ATTEMPTS_MAX = 5;
/** Fewer than the errors in a row for which the server hangs up (10). */
const IN_FLIGHT_MAX = 8;
/** How long the echo of an acknowledged whisper is recognised as ours. */
const ECHO_WAIT_MS = 5_000;

/**
 * A message of ours. The object stays the same while its status changes. It can be awaited (`await chat.say(…)`): it comes
 * back when it is sent, and the wait is rejected with an error that has a `code` if it fails. Nobody has to; but what passes
 * through a promise, such as the result of an async function, is awaited there.
 */
export class Outgoing {
  /** @type {string} */ id = newId();
  /** @type {'chat'|'whisper'} */ kind;
  /** Of a chat. @type {string|undefined} room */
  /** Of a whisper. @type {string|undefined} to */
  /** @type {string} */ content;
  /** Milliseconds since 1970. @type {number} */ createdAt = Date.now();
  /** @type {'pending'|'sent'|'failed'} */ status = 'pending';
  /** Why it failed: the server's code, or `queue_full`, `not_in_room`, `unconfirmed`, `closed`. @type {?string} */ error = null;
  /** Of a chat that was acknowledged. @type {?string} */ position = null;
  #waiting = null; // {promise, resolve, reject}, once somebody waits

  constructor({ content, ...fields }) {
    Object.assign(this, fields, { content: wellFormed(content) });
  }

  /** @returns {Promise<Outgoing>} that it is sent; after `retry()` another one */
  get done() {
    if (this.status === 'sent') return Promise.resolve(this);
    if (this.status === 'failed') return Promise.reject(coded(this.error));
    if (!this.#waiting) {
      this.#waiting = {};
      this.#waiting.promise = new Promise((resolve, reject) => Object.assign(this.#waiting, { resolve, reject }));
    }
    return this.#waiting.promise;
  }

  /** Of what can be awaited. One that is sent has none: a promise that is fulfilled with it would wait for it again. */
  get then() {
    return this.status === 'sent' ? undefined : (fulfilled, rejected) => this.done.then(fulfilled, rejected);
  }

  /** Used by the outbox alone. */
  change(status, error = null, position = null) {
    Object.assign(this, { status, error, position });
    if (status === 'pending') return;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (status === 'sent') waiting?.resolve(this);
    else waiting?.reject(coded(error));
  }
}

export class Outbox {
  #queueMax; #handlers;
  /** id → {message, inFlight, attempts, firstSentAt, seenAt, rejoined, echoTimer}; in the order of sending */
  #entries = new Map();

  /**
   * @param {number} queueMax
   * @param {object} handlers
   * @param {(message: Outgoing) => ?string} handlers.refusal   why it can not be sent, now or later
   * @param {(message: Outgoing) => boolean} handlers.isReady   whether it can be sent now
   * @param {(object: object) => void} handlers.send
   * @param {(message: Outgoing) => void} handlers.changed   it was sent or has failed
   */
  constructor(queueMax, handlers) {
    [this.#queueMax, this.#handlers] = [queueMax, handlers];
  }

  /** Whether the server owes an acknowledgement. */
  get isWaiting() {
    return [...this.#entries.values()].some(({ inFlight }) => inFlight);
  }

  /** @param {Outgoing} message */
  add(message) {
    const error = this.#handlers.refusal(message) ?? (this.#entries.size >= this.#queueMax ? 'queue_full' : null);
    message.change(error ? 'failed' : 'pending', error);
    if (error) {
      queueMicrotask(() => this.#handlers.changed(message)); // the caller has it first
    } else {
      this.#entries.set(message.id, { message, inFlight: false, attempts: 0, firstSentAt: null, seenAt: null, rejoined: false });
      this.flush();
    }
    return message;
  }

  flush() {
    const pending = [...this.#entries.values()].filter(({ message }) => message.status === 'pending');
    let inFlight = pending.filter((entry) => entry.inFlight).length;
    for (const entry of pending) {
      if (entry.inFlight || !this.#handlers.isReady(entry.message)) continue;
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
      const { id, kind, room, to, content } = entry.message;
      this.#handlers.send(kind === 'chat' ? { type: 'chat', room, content, id } : { type: 'whisper', to, content, id });
    }
  }

  disconnected() {
    for (const entry of this.#entries.values()) entry.inFlight = false;
  }

  /** @param {(room: string, position: string) => boolean} isReported  whether its echo was heard, or will not be */
  acknowledged({ id, position = null }, isReported) {
    const entry = this.#entries.get(id);
    if (entry?.message.status !== 'pending') return false;
    entry.inFlight = false;
    if (entry.seenAt || (position && isReported(entry.message.room, position))) this.#entries.delete(id);
    // A whisper is in no history, and one that the server knew already is not echoed again.
    else if (!position) entry.echoTimer = setTimeout(() => this.#entries.delete(id), ECHO_WAIT_MS);
    this.#settle(entry, 'sent', null, position);
    return true;
  }

  /** @returns {?('later'|'rejoin'|'failed')} what becomes of the message that the error names; null if it names none */
  refused({ id, code }, isInRoom) {
    const entry = this.#entries.get(id);
    if (entry?.message.status !== 'pending') return null;
    entry.inFlight = false;
    if (code === 'rate_limited') {
      entry.attempts -= 1; // not taken, so it can not come twice
      if (entry.attempts === 0) entry.firstSentAt = null;
      return 'later';
    }
    if (code === 'not_in_room' && !entry.rejoined && isInRoom(entry.message.room)) {
      entry.rejoined = true;
      return 'rejoin';
    }
    this.#fail(entry, code);
    return 'failed';
  }

  roomOf(id) {
    return this.#entries.get(id)?.message.room;
  }

  /**
   * The id of our own message that a chat or a whisper echoes. The server names no id there, but it names the position
   * in the ack; when the echo comes before the ack, the oldest unanswered message with the same words is taken for it.
   */
  claim({ from, room, to, content, position }) {
    const mine = [...this.#entries.values()].filter(({ message }) => message.content === content
      && message.room === room && message.to === to);
    const acknowledged = mine.find(({ message }) => message.status === 'sent' && (!position || seqOf(message.position) === seqOf(position)));
    if (acknowledged) this.#forget(acknowledged);
    const entry = acknowledged ?? mine.find(({ message, attempts, seenAt }) => message.status === 'pending' && attempts && !seenAt);
    if (entry) entry.seenAt = position ?? from;
    return entry?.message.id;
  }

  /** The id of our own message at this position, as long as its echo or its acknowledgement is still to come. */
  idAt(room, position) {
    const at = ({ seenAt, message }) => message.room === room && (seenAt ?? message.position) === position;
    return [...this.#entries.values()].find(at)?.message.id;
  }

  /** What was seen in the room before its past was lost, and with it the server's memory of ids, was sent. */
  settleSeen(room) {
    this.#settleWhere(room, ({ seenAt }) => seenAt);
  }

  /** Echoes that fell into a gap will not come. */
  settleSent(room) {
    this.#settleWhere(room, ({ message }) => message.status === 'sent');
  }

  /** Gives up what is to be said in a room. */
  failRoom(room, code) {
    for (const entry of [...this.#entries.values()]) if (entry.message.room === room) this.#fail(entry, code);
  }

  failAll(code) {
    for (const entry of [...this.#entries.values()]) this.#fail(entry, code);
  }

  #settleWhere(room, isMeant) {
    for (const entry of [...this.#entries.values()]) {
      if (entry.message.room !== room || !isMeant(entry)) continue;
      this.#forget(entry);
      this.#settle(entry, 'sent', null, entry.seenAt ?? entry.message.position);
    }
  }

  #fail(entry, code) {
    this.#forget(entry);
    if (entry.message.status === 'pending') this.#settle(entry, 'failed', code, null);
  }

  #forget({ message, echoTimer }) {
    clearTimeout(echoTimer);
    this.#entries.delete(message.id);
  }

  #settle({ message }, status, error, position) {
    message.change(status, error, position);
    this.#handlers.changed(message);
  }
}
