// An event source that the tabs of a browser share: HTTP/1.1 gives all of them six connections to a server, and an event
// stream keeps one for itself. To its owner it is an EventSource; one tab, the leader, has the real one and passes on what
// it receives. The leader is the tab that holds a lock of the browser (Web Locks), so that another follows when it goes.
// Where there are no such locks (a page that came over plain HTTP from another machine) each tab has its own connection.
//
// Nothing is missed or doubled: every tab knows the last event it has. One that asks the leader is sent what came since; if
// the leader does not have all of it, it asks the server itself, alone, and joins the others once it has caught up.

const { CONNECTING, OPEN, CLOSED } = EventSource;
/** Events kept for tabs that ask, of a few hundred bytes each. */
const KEPT_EVENTS_MAX = 200;
/** A leader answers at once; one that does not is frozen, and replaced. */
const ANSWER_WAIT_MS = 3_000;
/** What the server has kept for a tab that is alone comes in one burst; after this time it joins the others. */
const CATCH_UP_MS = 2_000;

const canShare = () => typeof BroadcastChannel === 'function' && navigator.locks !== undefined;
const isAbort = (error) => error?.name === 'AbortError';

/**
 * Dispatches `open` and `error` like an EventSource, `failed` (its `detail` is the error) when there is no address, and the
 * named events with `data` and `lastEventId`.
 */
export class SharedSource extends EventTarget {
  /** As of an EventSource. */ readyState = CONNECTING;
  #name;
  #events;
  #address;
  /** The last event we have. @type {number} */ #lastId;
  /** @type {'asking'|'following'|'alone'|'leading'} */ #role = 'asking';
  /** @type {?EventSource} */ #source = null;
  /** @type {?BroadcastChannel} */ #bus = null;
  #me = `${Date.now()}-${Math.random()}`;
  /** The last events, and the id before the first of them. @type {{name: string, id: number, data: string}[]} */ #kept = [];
  #keptAfter;
  /** Gives the lock back. @type {?() => void} */ #release = null;
  #queued = new AbortController();
  #timer;

  /**
   * @param {object} plan
   * @param {string} plan.name  of what is shared: the same for tabs that want the same events
   * @param {string[]} plan.events  names of the events
   * @param {number} plan.lastId  events after this one are wanted
   * @param {boolean} plan.isCurrent  `lastId` is from just now; otherwise the server itself is asked what has happened since
   * @param {(lastId: number) => Promise<string>} plan.address  of the stream, for each connection anew
   */
  constructor({ name, events, lastId, isCurrent, address }) {
    super();
    this.#name = `sarang.events ${new URL('.', location.href).pathname} ${name}`;
    this.#events = events;
    this.#lastId = lastId;
    this.#keptAfter = lastId;
    this.#address = address;
    if (canShare() && isCurrent) this.#join();
    else this.#goAlone();
  }

  close() {
    this.readyState = CLOSED;
    clearTimeout(this.#timer);
    this.#queued.abort();
    this.#hangUp();
    this.#bus?.close();
    this.#bus = null;
    this.#release?.();
  }

  get #isClosed() {
    return this.readyState === CLOSED;
  }

  // Who has the connection

  /** Asks the leader for what is missing, and queues to be the next one. */
  #join() {
    if (!this.#bus) {
      this.#bus = new BroadcastChannel(this.#name);
      this.#bus.addEventListener('message', ({ data }) => this.#hear(data));
    }
    this.#queue({ signal: this.#queued.signal });
    this.#ask();
  }

  #queue(options) {
    navigator.locks.request(this.#name, options, () => (this.#isClosed ? null : new Promise((resolve) => {
      this.#release = resolve;
      this.#lead();
    }))).catch((error) => {
      // Aborted: this source was closed, or another tab has replaced us, since we did not answer.
      if (isAbort(error) && this.#release && !this.#isClosed) this.#resign();
      else if (!isAbort(error) && !this.#isClosed && !this.#source) this.#goAlone();
    });
  }

  #ask() {
    this.#bus.postMessage({ type: 'ask', from: this.#me, lastId: this.#lastId });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#replaceLeader(), ANSWER_WAIT_MS);
  }

  #replaceLeader() {
    this.#queued.abort();
    this.#queued = new AbortController();
    this.#queue({ steal: true });
  }

  #lead() {
    clearTimeout(this.#timer);
    this.#role = 'leading';
    this.#bus.postMessage({ type: 'lead', from: this.#me });
    if (!this.#source) this.#connect();
  }

  #resign() {
    this.#release = null;
    this.#role = 'following';
    this.#hangUp();
    this.#join();
  }

  /** Without the others, until we have what the leader does not. */
  #goAlone() {
    clearTimeout(this.#timer);
    this.#role = 'alone';
    if (!this.#source) this.#connect();
  }

  // Among tabs

  #hear({ type, from, to, ...message }) {
    if (this.#isClosed || from === this.#me || (to && to !== this.#me)) return;
    if (type === 'ask' && this.#role === 'leading') this.#answer(from, message);
    else if (type === 'lead' && this.#role !== 'leading') this.#ask();
    else if (type === 'wait') clearTimeout(this.#timer);
    else if (type === 'cannot' && this.#role !== 'leading') this.#goAlone();
    else if (type === 'kept' && this.#role !== 'leading') this.#follow(message.events);
    else if (type === 'event' && this.#role === 'following') this.#receive(message.name, message.id, message.data);
  }

  #answer(to, { lastId }) {
    const answer = (message) => this.#bus.postMessage({ from: this.#me, to, ...message });
    if (this.readyState !== OPEN) answer({ type: 'wait' });
    else if (lastId < this.#keptAfter) answer({ type: 'cannot' });
    else answer({ type: 'kept', events: this.#kept.filter(({ id }) => id > lastId) });
  }

  #follow(events) {
    clearTimeout(this.#timer);
    this.#role = 'following';
    this.#hangUp();
    this.#opened();
    for (const { name, id, data } of events) this.#receive(name, id, data);
  }

  // Events

  async #connect() {
    let address;
    try {
      address = await this.#address(this.#lastId);
    } catch (detail) {
      if (!this.#isClosed) this.dispatchEvent(new CustomEvent('failed', { detail }));
      return;
    }
    if (this.#isClosed || this.#source || this.#role === 'following') return;
    const source = new EventSource(address);
    this.#source = source;
    source.addEventListener('open', () => this.#opened());
    source.addEventListener('error', () => this.#broke());
    for (const name of this.#events) source.addEventListener(name, ({ data, lastEventId }) => this.#receive(name, Number(lastEventId), data));
  }

  #opened() {
    if (this.readyState !== OPEN) {
      this.readyState = OPEN;
      this.dispatchEvent(new Event('open'));
    }
    // Those that were told to wait ask again.
    if (this.#role === 'leading') this.#bus?.postMessage({ type: 'lead', from: this.#me });
    if (this.#role === 'alone' && canShare()) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#join(), CATCH_UP_MS);
    }
  }

  #broke() {
    this.readyState = this.#source.readyState;
    this.dispatchEvent(new Event('error'));
  }

  #hangUp() {
    this.#source?.close();
    this.#source = null;
  }

  #receive(name, id, data) {
    if (name === 'gap') {
      // What the server still has follows, whatever was there before: after a restart its ids may begin anew.
      this.#kept = [];
      this.#keptAfter = -1;
      this.#lastId = 0;
    } else {
      if (this.#role === 'following' && id <= this.#lastId) return;
      this.#keep({ name, id, data });
      this.#lastId = id;
    }
    if (this.#role === 'leading') this.#bus.postMessage({ type: 'event', from: this.#me, name, id, data });
    this.dispatchEvent(new MessageEvent(name, { data, lastEventId: String(id) }));
  }

  #keep(event) {
    this.#kept.push(event);
    if (this.#kept.length > KEPT_EVENTS_MAX) this.#keptAfter = this.#kept.shift().id;
  }
}
