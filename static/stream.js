/**
 * The event stream of one channel, kept open over any number of broken connections. No DOM.
 *
 * The browser's own reconnecting is not used: it gives up on an HTTP error, cannot get a fresh ticket, and tells nobody
 * when it tries again. What it would have sent as `Last-Event-ID` goes into the address instead.
 *
 * Events (each a CustomEvent; its `detail` in brackets):
 *   state    [State]       also kept in `stream.state`
 *   series   [object]      what the server has kept of the last minutes, as `GET /series` answers
 *   samples  [Sample[]]    in the order of their ids, each id once, and none that `series` has
 *   seen     [Sample]      one that `series` has: it may tell more than numbers
 *   gap      [{restarted, from, to, time}]  these ids are gone; `restarted`: the server was, and its ids begin elsewhere
 *   resumed  [{count, forMs}]               after a broken connection: nothing was lost, `count` events were caught up
 *
 * @typedef {{name: 'connecting'} | {name: 'connected'} | {name: 'signed-out'}
 *   | {name: 'reconnecting', reason: 'lost'|'silent'|'refused', status: ?number, retryAt: ?number}} State
 *   `retryAt`: by `performance.now()`; null while an attempt is being made
 * @typedef {{kind: string, id: number, data: object, time: number}} Sample   `time`: milliseconds since 1970, by the
 *   server's clock where it tells the time of its events, else by ours when it arrived
 */

import { ServerClock } from './server-clock.js';
import { SharedSource } from './shared-source.js';

/** How often each kind of event comes. */
export const PERIOD_MS = { system_metrics: 1_000, api_metrics: 5_000, business_metrics: 10_000 };

/** A back end posts its figures whenever it likes: only what comes by the clock tells when what came before it was. */
const CADENCE_MS = { ...PERIOD_MS, business_metrics: 0 };

const ALL = Object.keys(PERIOD_MS);
export const CHANNELS = {
  dashboard: ALL,
  all: ALL,
  system: ['system_metrics'],
  api: ['api_metrics'],
  business: ['business_metrics'],
};

/** What the server asks for in `retry`; an EventSource does not tell. */
const RETRY_BASE_MS = 3_000;
const RETRY_CAP_MS = 15_000;
/** A connection that lasted this long ends a row of failures. */
const STABLE_AFTER_MS = 5_000;
const ANSWER_WAIT_MS = 8_000;
/** Heartbeats are comments, which a page never sees: only missing events tell of a dead path. */
const SILENT_PERIODS = 3;
const SILENT_GRACE_MS = 2_000;
/** After a longer time without a connection the server has more in its series than among its last events. */
const FILL_AFTER_MS = 60_000;
/** Events before the end of the series that are asked for again: one of each kind is among them, with what is no number. */
const SEEN_AGAIN = 20;
/** What was kept for us comes in one burst, from the first event on; a pause this long ends it. */
const BURST_PAUSE_MS = 150;
const BURST_MAX_MS = 1_000;

/** Thrown by `ticket` when nobody is signed in. */
export class SignedOut extends Error {}

export class Stream extends EventTarget {
  /** @type {State} */ state = { name: 'connecting' };
  #channel = 'dashboard';
  #ticket;
  #needsTicket = false;
  /** @type {?SharedSource} */ #source = null;
  /** Counts attempts, so that an answer to an abandoned one is recognised. */ #turn = 0;
  #failures = 0;
  #openedAt = -Infinity;
  /** The same by the server's clock. */ #openedTime = -Infinity;
  /** When the connection broke, until it is back. */ #lostAt = null;
  #switched = false;
  /** The series are asked for with the next attempt. */ #toFill = true;
  /** Up to which id the series reached. */ #filledTo = 0;
  /** Up to which id each kind is known. */ #positions = new Map(ALL.map((kind) => [kind, 0]));
  #clock = new ServerClock();
  /** Events of the burst after opening, until their times can be told; null when live. @type {?object[]} */ #burst = null;
  #burstAt;
  #burstTimer;
  #watchdog;
  #retryTimer;

  /** @param {{ticket: () => Promise<string>}} options   called when the server asks for one */
  constructor({ ticket }) {
    super();
    this.#ticket = ticket;
  }

  /** Opens a channel, or changes to it. What was received so far counts: only what is newer comes. */
  open(channel) {
    this.#flush();
    this.#channel = channel;
    this.#failures = 0;
    this.#switched = true;
    this.#toFill = true;
    this.#connect();
  }

  /** Connects at once when waiting to; also after `close()`. */
  tryNow() {
    if (this.state.name === 'connected' || this.#source) return;
    this.#connect();
  }

  /** Lets the connection go, until `tryNow()`; what comes meanwhile is then in the series. */
  close() {
    this.#turn += 1;
    this.#hangUp();
    this.#lostAt = null;
    this.#toFill = true;
    this.state = { name: 'connecting' };
  }

  /** The time by which samples are placed. */
  now() {
    return this.#clock.now();
  }

  get #kinds() {
    return CHANNELS[this.#channel];
  }

  #setState(state) {
    this.state = state;
    this.#say('state', state);
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // Connecting

  async #connect() {
    this.#hangUp();
    const turn = ++this.#turn;
    const { name, reason, status } = this.state;
    if (name === 'reconnecting') this.#setState({ name, reason, status, retryAt: null });
    else this.#setState({ name: 'connecting' });
    let isFilled;
    try {
      isFilled = this.#isToFill && await this.#fill(turn);
    } catch (error) {
      if (turn === this.#turn) this.#withoutTicket(error);
      return;
    }
    if (turn !== this.#turn) return;
    const known = Math.min(...this.#kinds.map((kind) => this.#positions.get(kind)));
    this.#listen(new SharedSource({
      name: this.#channel,
      events: ['gap', ...this.#kinds],
      lastId: isFilled ? Math.max(0, known - SEEN_AGAIN) : known,
      isCurrent: isFilled,
      address: (lastId) => this.#address(`sse/${this.#channel}`, { last_event_id: lastId }),
    }));
  }

  async #address(path, parameters = {}) {
    const query = new URLSearchParams(parameters);
    if (this.#needsTicket) query.set('ticket', await this.#ticket());
    return [...query].length === 0 ? path : `${path}?${query}`;
  }

  get #isToFill() {
    return this.#toFill || (this.#lostAt !== null && performance.now() - this.#lostAt > FILL_AFTER_MS);
  }

  /** Asks for what the server has kept. @returns {Promise<boolean>} false when it keeps nothing */
  async #fill(turn) {
    const response = await fetch(await this.#address('series'), { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_WAIT_MS) });
    if (response.status === 401 && !this.#needsTicket) {
      this.#needsTicket = true;
      return this.#fill(turn);
    }
    // What is wrong is found out by the stream itself.
    if (!response.ok) return false;
    const series = await response.json().catch(() => null);
    if (turn !== this.#turn || !series) return false;
    this.#clock.estimate(response.headers.get('Date'));
    const last = Number(series.last_event_id) || 0;
    const before = Math.max(...this.#positions.values());
    this.#filledTo = last;
    this.#toFill = false;
    this.#lostAt = null;
    for (const kind of ALL) this.#positions.set(kind, last);
    this.#say('series', series);
    if (last < before) this.#say('gap', { restarted: true, from: 0, to: 0, time: firstTime(series) ?? this.now() });
    return true;
  }

  #withoutTicket(error) {
    if (!(error instanceof SignedOut)) return this.#retryLater('lost');
    this.#needsTicket = false; // the next attempt finds out again
    this.#setState({ name: 'signed-out' });
  }

  #listen(source) {
    this.#source = source;
    this.#watch(ANSWER_WAIT_MS, 'lost');
    source.addEventListener('open', () => this.#opened());
    source.addEventListener('error', () => this.#broke());
    source.addEventListener('failed', ({ detail }) => {
      this.#hangUp();
      this.#withoutTicket(detail);
    });
    source.addEventListener('gap', ({ data }) => this.#receive('gap', 0, data));
    for (const kind of this.#kinds) source.addEventListener(kind, ({ data, lastEventId }) => this.#receive(kind, Number(lastEventId), data));
  }

  #opened() {
    this.#openedAt = performance.now();
    this.#openedTime = this.now();
    this.#burst = [];
    this.#expectEvents();
    this.#setState({ name: 'connected' });
  }

  #hangUp() {
    this.#flush();
    this.#source?.close();
    this.#source = null;
    for (const timer of [this.#watchdog, this.#retryTimer]) clearTimeout(timer);
  }

  #watch(waitMs, reason) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#retryLater(reason), waitMs);
  }

  #expectEvents() {
    const period = Math.min(...this.#kinds.map((kind) => PERIOD_MS[kind]));
    this.#watch(SILENT_PERIODS * period + SILENT_GRACE_MS, 'silent');
  }

  #broke() {
    const refused = this.#source.readyState === EventSource.CLOSED && this.state.name !== 'connected';
    if (refused) this.#askWhy();
    else this.#retryLater('lost');
  }

  /** An EventSource does not tell the status it was refused with. */
  async #askWhy() {
    this.#hangUp();
    const turn = ++this.#turn;
    let response;
    try {
      response = await fetch(`sse/${this.#channel}`, { method: 'HEAD', cache: 'no-store', signal: AbortSignal.timeout(ANSWER_WAIT_MS) });
    } catch { /* then the server is away */ }
    if (turn !== this.#turn) return;
    const asksForTicket = response?.status === 401;
    const isNews = asksForTicket && !this.#needsTicket;
    if (response) this.#needsTicket = asksForTicket;
    if (isNews) this.#connect();
    else if (!response || response.ok || asksForTicket) this.#retryLater('lost');
    else this.#retryLater('refused', response.status, Number(response.headers.get('Retry-After')) * 1_000);
  }

  #retryLater(reason, status = null, leastMs = 0) {
    this.#hangUp();
    this.#turn += 1;
    const now = performance.now();
    this.#lostAt ??= now;
    if (now - this.#openedAt > STABLE_AFTER_MS && this.state.name === 'connected') this.#failures = 0;
    const ceiling = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** this.#failures);
    // Jitter: after a restart of the server not everybody must come at once.
    const delay = Math.max(leastMs || 0, ceiling * (0.5 + Math.random() / 2));
    this.#failures += 1;
    this.#setState({ name: 'reconnecting', reason, status, retryAt: now + delay });
    this.#retryTimer = setTimeout(() => this.#connect(), delay);
  }

  // Receiving

  #receive(kind, id, text) {
    this.#expectEvents();
    let data;
    try {
      data = JSON.parse(text);
    } catch {
      return;
    }
    const time = this.#clock.timeOf(data?.time, !this.#burst);
    const entry = { kind, id, data, time };
    if (this.#burst) {
      if (!this.#burst.length) this.#burstAt = performance.now();
      this.#burst.push(entry);
      const left = BURST_MAX_MS - (performance.now() - this.#burstAt);
      clearTimeout(this.#burstTimer);
      this.#burstTimer = setTimeout(() => this.#flush(), Math.min(BURST_PAUSE_MS, Math.max(0, left)));
    } else {
      entry.time ??= this.now();
      this.#deliver([entry], false);
    }
  }

  #flush() {
    clearTimeout(this.#burstTimer);
    const burst = this.#burst;
    this.#burst = null;
    // Whoever has received nothing is not back.
    if (!burst?.length) return;
    // Where little happens, what comes first may have happened only now.
    const live = new Set(burst.filter(({ time }) => time > this.#openedTime));
    setTimes(burst, this.now());
    const isReturn = this.#lostAt !== null && Math.max(...this.#positions.values()) > 0;
    const { fresh, gap } = this.#deliver(burst, true);
    const count = fresh.filter((entry) => !live.has(entry)).length;
    if (isReturn && !gap) this.#say('resumed', { count, forMs: this.#openedAt - this.#lostAt });
    this.#lostAt = null;
    this.#switched = false;
  }

  #deliver(entries, isBurst) {
    const fresh = [];
    let samples = [];
    let gap = false;
    const hand = () => {
      if (samples.length) this.#say('samples', samples);
      samples = [];
    };
    for (const entry of entries) {
      if (entry.kind === 'gap') {
        hand();
        gap = this.#missed(entry) || gap;
      } else if (this.#isNew(entry, isBurst)) {
        samples.push(entry);
        fresh.push(entry);
      }
    }
    hand();
    return { fresh, gap };
  }

  /** @returns whether something was lost that we would have had otherwise */
  #missed({ data: { requested, oldest, restarted }, time }) {
    // Everything that is kept is asked for first: the rest was never ours to lose.
    if (Number(requested) < Math.max(1, this.#filledTo)) return false;
    if (restarted) for (const kind of ALL) this.#positions.set(kind, 0);
    // Nor was what another channel had.
    else if (this.#switched && this.#lostAt === null) return false;
    this.#say('gap', { restarted, from: Number(requested) + 1, to: oldest - 1, time });
    return true;
  }

  #isNew(entry, isBurst) {
    const { kind, id } = entry;
    if (id <= this.#positions.get(kind)) {
      if (id <= this.#filledTo) this.#say('seen', entry);
      if (isBurst || this.#filledTo) return false;
      // Live ids only grow: the server was started anew while another channel was chosen.
      this.#missed({ data: { requested: Infinity, oldest: id, restarted: true }, time: entry.time });
    }
    // All of the channel up to this id was sent to us, of whatever kind.
    for (const known of this.#kinds) this.#positions.set(known, Math.max(id, this.#positions.get(known)));
    return true;
  }
}

/** When the oldest sample of the series was taken, if there is one. */
function firstTime({ system, api, business }) {
  const first = [system, api, business].map((each) => each?.time?.[0]).filter(Number.isFinite);
  return first.length ? Math.min(...first) : null;
}

/**
 * Gives a time to those events of a burst that have none, as those of older servers and gaps: none later than the one
 * after it, and each a period before the next of its kind.
 */
function setTimes(burst, now) {
  const next = new Map();
  let following = now;
  for (const entry of [...burst].reverse()) {
    entry.time ??= Math.min(following, (next.get(entry.kind) ?? Infinity) - (CADENCE_MS[entry.kind] ?? 0));
    following = entry.time;
    next.set(entry.kind, entry.time);
  }
}
