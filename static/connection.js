// A part of sarang.js: the connection, which comes back by itself unless the server refuses who or where we are.

const BACKOFF_BASE_MS = 500, BACKOFF_CAP_MS = 15_000;
/** A connection that lasted this long ends a row of failures. */
const STABLE_AFTER_MS = 5_000;
/** A browser is told nothing of a dead path: a question that stays unanswered is the only sign of one. */
const ANSWER_WAIT_MS = 20_000;
/** A fresh ticket can be lost on its way, e.g. to a restart of the server; so many in a row are not. */
const TICKETS_REFUSED_MAX = 3;
/** `readyState` of a socket that takes messages. */
const OPEN = 1;

/** A moderator put us out: to come back at once is not ours to decide. */
export const PUT_OUT = 4006;
/** Close codes after which another attempt would be refused too. Not 1013: it is not, once another connection has ended. */
const FINAL_CODES = new Set([4001, 4003, 4005, PUT_OUT]);

/**
 * @typedef {{name: 'connecting', attempt: number} | {name: 'connected'}
 *   | {name: 'reconnecting', attempt: number, retryInMs: number, retryAt: number, code: number, reason: string}
 *   | {name: 'closed', code: number, reason: string, until?: ?string}} State   `until`: 4006, of a ban
 */

/**
 * The address that a WebSocket can be opened with: `http:` means `ws:`, and a relative one is of this page.
 * @param {string|URL} given @returns {URL}
 */
export function socketAddress(given) {
  const wanted = '`url` must be the address of /ws, such as ws://127.0.0.1:8000/ws?username=kim';
  if (!given || (typeof given !== 'string' && !(given instanceof URL))) throw new TypeError(`${wanted}, or a function that returns it`);
  let url;
  try {
    url = new URL(given, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch {
    throw new TypeError(`${wanted}, and not ${given}`);
  }
  url.protocol = { 'http:': 'ws:', 'https:': 'wss:' }[url.protocol] ?? url.protocol;
  if (!['ws:', 'wss:'].includes(url.protocol)) throw new TypeError(`\`url\` must begin with ws:// or wss://, not with ${url.protocol}`);
  url.hash = '';
  return url;
}

export class Connection {
  /** @type {State} */ state = { name: 'connecting', attempt: 0 };
  #url; #key; #ticketed; #WebSocket; #handlers;
  #socket = null;
  #turn = 0; // each attempt has its own number: events of an older socket are void
  #attempt = 0;
  #ticketsRefused = 0; // in a row
  #retryTimer; #stableTimer; #answerTimer;

  /**
   * @param {object} options   of `new Sarang()`
   * @param {object} handlers
   * @param {(event: object) => void} handlers.received   a message of the server
   * @param {() => void} handlers.disconnected   what is on its way is lost
   * @param {(state: State) => void} handlers.changed
   * @param {() => boolean} handlers.isWaiting   whether the server owes an answer
   */
  constructor({ url, key, ticketed, WebSocket }, handlers) {
    if (typeof WebSocket !== 'function') {
      throw new TypeError('There is no WebSocket here: use Node 22 or later, or pass an implementation as the option `WebSocket`');
    }
    if (typeof url !== 'function') url = socketAddress(url);
    [this.#url, this.#key, this.#ticketed, this.#WebSocket, this.#handlers] = [url, key, ticketed, WebSocket, handlers];
  }

  async open() {
    const turn = ++this.#turn;
    clearTimeout(this.#retryTimer);
    this.#setState({ name: 'connecting', attempt: this.#attempt });
    this.awaitAnswer();
    try {
      const url = typeof this.#url === 'function' ? await this.#url() : this.#url;
      if (turn !== this.#turn) return;
      const socket = new this.#WebSocket(this.#withKey(socketAddress(url)));
      this.#socket = socket;
      socket.onmessage = ({ data }) => turn === this.#turn && this.#received(data);
      socket.onclose = ({ code, reason }) => turn === this.#turn && this.#lost(code, reason);
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error?.retry === false) this.end(4001, error.message);
      else this.#lost(1006, String(error?.message ?? error));
    }
  }

  /** The server has let us in. */
  welcomed() {
    this.#ticketsRefused = 0;
    this.#stableTimer = setTimeout(() => { this.#attempt = 0; }, STABLE_AFTER_MS);
    this.#setState({ name: 'connected' });
  }

  /** Does not wait for the rest of a backoff. */
  retryNow() {
    if (this.state.name === 'reconnecting') this.open();
  }

  send(object) {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(object));
    this.awaitAnswer();
  }

  /** Gives a connection up that stays silent from now on, while an answer is owed. */
  awaitAnswer() {
    clearTimeout(this.#answerTimer);
    const waiting = this.state.name === 'connecting' || this.#handlers.isWaiting();
    if (waiting) this.#answerTimer = setTimeout(() => this.#lost(1006, 'no answer'), ANSWER_WAIT_MS);
  }

  /** For good. */
  end(code, reason, until) {
    this.#disconnect();
    this.#setState({ name: 'closed', code, reason, until });
  }

  #withKey(url) {
    if (this.#key) url.search += `${url.search ? '&' : '?'}key=${encodeURIComponent(this.#key)}`;
    return url.href;
  }

  #received(data) {
    let event;
    try { event = JSON.parse(data); } catch { return; }
    this.#handlers.received(event);
    this.awaitAnswer();
  }

  #lost(code, reason) {
    if (code === 4001 && this.#ticketed) this.#ticketsRefused += 1;
    const another = code === 4001 && this.#ticketed && this.#ticketsRefused < TICKETS_REFUSED_MAX;
    if (FINAL_CODES.has(code) && !another) return this.end(code, reason);
    this.#disconnect();
    const retryInMs = Math.round(Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** this.#attempt));
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => this.open(), retryInMs);
    this.#setState({ name: 'reconnecting', attempt: this.#attempt, retryInMs, retryAt: Date.now() + retryInMs, code, reason });
  }

  #disconnect() {
    this.#turn += 1;
    this.#socket?.close();
    this.#socket = null;
    for (const timer of [this.#retryTimer, this.#stableTimer, this.#answerTimer]) clearTimeout(timer);
    this.#handlers.disconnected();
  }

  #setState(state) {
    this.state = state;
    this.#handlers.changed(state);
  }
}
