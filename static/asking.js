// A part of sarang.js: requests that are answered once, each matched to its answer by the `id` it was sent with.

import { newId } from './names.js';

/** Requests that wait for their answers; one more is refused with `too_many_requests`. */
const REQUESTS_MAX = 64;
/** For a server that answers other things meanwhile; a connection that is silent altogether is given up sooner. */
const ANSWER_WAIT_MS = 30_000;

/** An error that a program can tell from others. @param {string} code @param {string} [message] */
export const coded = (code, message = code) => Object.assign(new Error(message), { code });

export class Asking {
  #send;
  /** id → {type, resolve, reject, timer}; in the order of sending */
  #requests = new Map();

  /** @param {(message: object) => void} send */
  constructor(send) {
    this.#send = send;
  }

  get isWaiting() {
    return this.#requests.size > 0;
  }

  /** @returns {Promise<object>} its answer; rejected with an error that has the server's `code`, `timeout` or `closed` */
  async ask(type, fields) {
    // Not a number: the server knows the ids of `publish` and `notify` for minutes, also those of an earlier page.
    const { id = newId() } = fields;
    if (this.#requests.has(id)) throw coded('id_reused');
    if (this.#requests.size >= REQUESTS_MAX) throw coded('too_many_requests');
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => { if (this.#take(id)) reject(coded('timeout')); }, ANSWER_WAIT_MS);
      this.#requests.set(id, { type, resolve, reject, timer });
      this.#send({ ...fields, type, id });
    });
  }

  /** @returns {boolean} whether the event answers a request */
  answer(event) {
    const request = this.#take(event.id);
    if (event.type === 'error') request?.reject(Object.assign(coded(event.code, event.message), { reason: event.reason, until: event.until }));
    else request?.resolve(event);
    return Boolean(request);
  }

  /** Answers the oldest request of this type: for an answer that names no request. */
  answerOldest(type, event) {
    for (const [id, request] of this.#requests) if (request.type === type) return this.answer({ ...event, id });
    return false;
  }

  rejectAll(code) {
    for (const id of [...this.#requests.keys()]) this.#take(id).reject(coded(code));
  }

  #take(id) {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    clearTimeout(request?.timer);
    return request;
  }
}
