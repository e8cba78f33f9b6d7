/**
 * events.js: follow the event streams of a sarang server, wherever there is `fetch`. A part of sarang.js, and usable alone.
 *
 *     import { events } from './sarang.js';
 *     for await (const { type, id, data } of events('http://127.0.0.1:8000/sse/dashboard')) console.log(type, data);
 *
 * A connection that breaks is opened again, and goes on behind the last event: none comes twice, and where some are gone an
 * event of the type `gap` says so first, with `{requested, oldest, newest, restarted?}`. Nothing is read ahead of the loop: whoever
 * is slow is sent the latest values by the server. To leave the loop, also by an error, closes the connection; another loop
 * over the same stream goes on there. What the server refuses for good ends the loop with an error that has the server's
 * `code` and the `status` of the response.
 *
 * Unlike an EventSource it can send a token, says why it was refused, notices a path that is dead, and is in Node, Deno and Bun.
 */

import { coded } from './asking.js';

/** What the server asks for with `retry`, until it does. */
const RETRY_BASE_MS = 3_000, RETRY_CAP_MS = 15_000;
/** A connection that lasted this long ends a row of failures. */
const STABLE_AFTER_MS = 5_000;
const ANSWER_WAIT_MS = 20_000;
/** The server sends at least a heartbeat each 15 seconds, unless it is told otherwise. */
const SILENCE_MS = 60_000;
/** A token or ticket can expire on its way; so many in a row that are fetched afresh do not. */
const REFUSALS_MAX = 3;
/** Characters of an event; more is no event of this server. */
const EVENT_CHARS_MAX = 4 * 1024 * 1024;
/** Refusals that may not last. */
const PASSING = new Set([408, 425, 429]);

/**
 * @typedef {{type: string, id: ?string, data: object}} StreamEvent   `id`: of the last event that had one
 * @typedef {{name: 'idle'|'connecting'|'connected'|'closed'}
 *   | {name: 'reconnecting', reason: string, status: ?number, retryInMs: number, retryAt: number}} StreamState
 *
 * @typedef {object} EventsOptions
 * @property {string | URL} [url]   The address of a stream, such as `…/sse/dashboard`; with `channels`, that of the server. A
 *   page may leave it out, or give a relative one.
 * @property {string | string[]} [channels]   such as `['system', 'orders']`
 * @property {string | number} [lastEventId]   What came after this event, as far as it is kept.
 * @property {string | (() => string | Promise<string>)} [token]   Sent as `Authorization: Bearer`. A function is called for each attempt.
 * @property {() => string | Promise<string>} [ticket]   Fetches a one-use ticket for each attempt, for `?ticket=`. An error that
 *   `token` or `ticket` throws counts as a failed attempt, one with `retry === false` ends the stream.
 * @property {AbortSignal} [signal]   closes it
 * @property {number} [silenceMs]   A connection without a byte for so long is given up.
 * @property {typeof fetch} [fetch]   another implementation
 */

/** What the server answered in place of a stream. */
class Refusal extends Error {
  constructor(response, { code, message = code }) {
    super(message);
    const retryAfterMs = Number(response.headers.get('Retry-After')) * 1_000 || 0;
    Object.assign(this, { code, status: response.status, retryAfterMs });
  }

  get isForGood() {
    return this.status < 500 && !PASSING.has(this.status);
  }
}

/** @param {string | URL | EventsOptions} options @returns {EventStream} */
export function events(options = {}) {
  return new EventStream(typeof options === 'string' || options instanceof URL ? { url: options } : options);
}

/** Iterable, and tells of its connection with events `state` (also kept in `stream.state`). */
export class EventStream extends EventTarget {
  /** @type {StreamState} */ state = { name: 'idle' };
  /** Of the last event that was read. @type {?string} */ lastEventId;
  #url; #token; #ticket; #fetch; #silenceMs;
  #retryMs = RETRY_BASE_MS;
  #attempt = null; // AbortController of the connection
  #wake = null; // ends the wait for the next attempt
  #isRead = false;

  /** @param {EventsOptions} options */
  constructor({ url, channels, lastEventId = null, token, ticket, signal, silenceMs = SILENCE_MS, fetch = globalThis.fetch }) {
    super();
    if (typeof fetch !== 'function') throw new TypeError('There is no fetch here: pass an implementation as the option `fetch`');
    this.#url = streamAddress(url, channels);
    this.lastEventId = lastEventId === null ? null : String(lastEventId);
    [this.#token, this.#ticket, this.#silenceMs, this.#fetch] = [token, ticket, silenceMs, fetch];
    if (signal?.aborted) this.close();
    else signal?.addEventListener('abort', () => this.close(), { once: true });
  }

  /** Ends the loop, and each later one. */
  close() {
    if (this.state.name === 'closed') return;
    this.#setState({ name: 'closed' });
    this.#attempt?.abort();
    this.#wake?.();
  }

  /** Does not wait for the next attempt. */
  retryNow() {
    this.#wake?.();
  }

  /** @returns {AsyncGenerator<StreamEvent, void, void>} */
  async* [Symbol.asyncIterator]() {
    if (this.#isRead) throw new Error('The stream is being read already');
    this.#isRead = true;
    try {
      yield* this.#connections();
    } catch (error) {
      this.close();
      throw error;
    } finally {
      this.#isRead = false;
      this.#attempt?.abort();
      if (this.state.name !== 'closed') this.#setState({ name: 'idle' });
    }
  }

  // Connections, one after the other

  async* #connections() {
    let [failures, refusals] = [0, 0];
    while (this.state.name !== 'closed') {
      this.#setState({ name: 'connecting' });
      this.#attempt = new AbortController();
      let problem = { reason: 'ended' }, openedAt = null;
      try {
        const response = await this.#open();
        openedAt = performance.now();
        refusals = 0;
        this.#setState({ name: 'connected' });
        yield* this.#read(response);
      } catch (error) {
        if (this.state.name === 'closed') return;
        const isRefusal = error instanceof Refusal;
        const another = isRefusal && error.status === 401 && this.#isAskedAfresh && (refusals += 1) < REFUSALS_MAX;
        if (error?.retry === false || (isRefusal && error.isForGood && !another)) throw error;
        problem = isRefusal || error?.code === 'silent' ? error : {};
      }
      if (this.state.name === 'closed') return;
      failures = openedAt !== null && performance.now() - openedAt > STABLE_AFTER_MS ? 0 : failures + 1;
      await this.#wait(failures, problem);
    }
  }

  get #isAskedAfresh() {
    return Boolean(this.#ticket) || typeof this.#token === 'function';
  }

  async #open() {
    const url = new URL(this.#url);
    if (this.lastEventId) url.searchParams.set('last_event_id', this.lastEventId);
    if (this.#ticket) url.searchParams.set('ticket', await this.#ticket());
    const token = typeof this.#token === 'function' ? await this.#token() : this.#token;
    const headers = { Accept: 'text/event-stream', ...(token && { Authorization: `Bearer ${token}` }) };
    const fetch = this.#fetch; // a browser's may not be called as a method
    const response = await this.#within(ANSWER_WAIT_MS, fetch(url, { headers, cache: 'no-store', signal: this.#attempt.signal }));
    if (response.ok && response.headers.get('Content-Type')?.startsWith('text/event-stream')) return response;
    let answer = null;
    try { answer = await this.#within(ANSWER_WAIT_MS, response.json()); } catch { /* a proxy's page */ }
    throw new Refusal(response, answer?.error ?? { code: response.ok ? 'no_event_stream' : `status_${response.status}` });
  }

  async* #read(response) {
    const reader = response.body.getReader();
    const [decoder, parser] = [new TextDecoder(), new Parser()];
    for (;;) {
      const { done, value } = await this.#within(this.#silenceMs, reader.read());
      if (done) return;
      for (const { type, id, data } of parser.push(decoder.decode(value, { stream: true }))) {
        if (id !== null) this.lastEventId = id;
        yield { type, id: this.lastEventId, data };
        if (this.state.name === 'closed') return;
      }
      this.#retryMs = parser.retryMs ?? this.#retryMs;
    }
  }

  /** Gives the connection up after this time. */
  async #within(ms, promise) {
    const timer = setTimeout(() => this.#attempt.abort(coded('silent')), ms);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Jitter: after a restart of the server not everybody must come at once. */
  async #wait(failures, { code, reason = code ?? 'lost', status = null, retryAfterMs = 0 }) {
    const ceiling = Math.min(Math.max(RETRY_CAP_MS, this.#retryMs), this.#retryMs * 2 ** Math.max(0, failures - 1));
    const retryInMs = Math.round(Math.max(retryAfterMs, ceiling * (0.5 + Math.random() / 2)));
    this.#setState({ name: 'reconnecting', reason, status, retryInMs, retryAt: Date.now() + retryInMs });
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, retryInMs);
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
    this.#wake = null;
  }

  #setState(state) {
    this.state = state;
    this.dispatchEvent(new CustomEvent('state', { detail: state }));
  }
}

function streamAddress(url, channels) {
  const page = globalThis.document?.baseURI ?? globalThis.location?.href;
  const names = channels ?? (url === undefined ? 'dashboard' : null);
  try {
    const server = new URL(url ?? '', page);
    if (!/^https?:$/.test(server.protocol)) throw new TypeError(server.protocol);
    if (names === null) return server.href;
    server.pathname = server.pathname.replace(/[^/]*$/, '');
    return new URL(`sse/${String(names).split(',').map(encodeURIComponent).join(',')}`, server).href;
  } catch {
    throw new TypeError(`\`url\` must be the address of an event stream, such as http://127.0.0.1:8000/sse/dashboard, and not ${url}`);
  }
}

/** Of the format `text/event-stream` (HTML Standard, 9.2.6), as text comes in. */
class Parser {
  /** What the server asked for. @type {?number} */ retryMs = null;
  #rest = '';
  #type = ''; #id = null; #data = [];

  /** @returns {{type: string, id: ?string, data: any}[]} the events that are complete by now */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/); // behind a CR at the end, its LF may come
    this.#rest = lines.pop();
    const events = lines.flatMap((line) => this.#line(line) ?? []);
    const kept = this.#rest.length + this.#data.reduce((sum, { length }) => sum + length, 0);
    if (kept > EVENT_CHARS_MAX) throw Object.assign(coded('event_too_long'), { retry: false });
    return events;
  }

  #line(line) {
    if (line === '') return this.#take();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#type = value;
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value);
    return null;
  }

  #take() {
    const event = this.#data.length ? { type: this.#type || 'message', id: this.#id, data: parsed(this.#data.join('\n')) } : null;
    [this.#type, this.#id, this.#data] = ['', null, []];
    return event;
  }
}

/** Events are JSON; what is none stays a text. */
function parsed(text) {
  try { return JSON.parse(text); } catch { return text; }
}
