// Someone who signed in: the access token, its renewal before it expires, and the one-use tickets it buys.
// All tabs of a browser share one session, by localStorage: a new tab needs no password, one tab at a time renews the token for
// all of them, and leaving in one ends it in all.
// The server is the judge of what is still valid; the clock of this machine only says when to ask and how to word the end.

import { recall, remember } from './storage.js';

/** Below a prefix another server may have its own. */
const { pathname: HERE } = new URL('.', document.baseURI);
const STORED = HERE === '/' ? 'sarang.token' : `sarang.token ${HERE}`;
/** What one tab has stored, the others see a little later. */
const STORAGE_DELAY_MS = 300;
/** Hashing a password takes its time, and there may be a queue before it. */
const SIGN_IN_WAIT_MS = 30_000;
const ANSWER_WAIT_MS = 15_000;
/** Renewed when this part of the lifetime is left, at least this long, but never right after it was granted. */
const RENEW_AT_SHARE = 0.25;
const RENEW_AT_LEAST_MS = 10_000;
const RENEW_AT_MOST_SHARE = 0.5;
/** What failed is tried again after this part of the time that is left. */
const RETRY_SHARE = 0.125;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 30_000;
/** A longer timer would overflow and strike at once. */
const TIMER_MAX_MS = 3_600_000;

/** `code` is the server's, or `network`; `retryAfter` are seconds, when the server named them. */
export class AuthError extends Error {
  constructor(code, status = 0, retryAfter = null) {
    super(code);
    Object.assign(this, { code, status, retryAfter });
  }
}

const bearer = (token) => ({ Authorization: `Bearer ${token}` });

async function ask(path, { method = 'POST', token, body, wait = ANSWER_WAIT_MS } = {}) {
  const headers = { ...(token && bearer(token)), ...(body && { 'Content-Type': 'application/json' }) };
  let response;
  let answer;
  try {
    response = await fetch(path, {
      method, headers, body: body && JSON.stringify(body), cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(wait),
    });
    answer = await response.text();
  } catch {
    throw new AuthError('network');
  }
  try { answer = JSON.parse(answer); } catch { answer = null; }
  if (response.ok && answer) return answer;
  const seconds = Number(response.headers.get('Retry-After') ?? NaN);
  throw new AuthError(answer?.error?.code ?? 'other', response.status, Number.isFinite(seconds) ? Math.max(1, Math.ceil(seconds)) : null);
}

/** What the server lets in. @returns {Promise<{guests: boolean, demo: boolean, lobby?: ?string}>}  lobby: the room to begin in */
export const whoMayEnter = () => ask('auth', { method: 'GET' });

export class Session {
  /**
   * Why it is over: `expired`, `refused` by the server before its time, `left` here or in another tab; `released`: in this tab only.
   * @type {?('expired'|'refused'|'left'|'released')}
   */
  ended = null;
  /** It goes on until `expiresAt`, but no longer. */ renewalRefused = false;
  #token; #lifetime; #timer;
  #handlers = null;
  #tending = false;
  #toExtend = false; // the open connection still lives by an older token
  #listeners = new AbortController();

  constructor({ username, token, lifetime, expiresAt }) {
    /** As it was typed. @type {string} */ this.username = username;
    /** Milliseconds since 1970. @type {number} */ this.expiresAt = expiresAt;
    this.#token = token;
    this.#lifetime = lifetime;
  }

  static async signIn(username, password) {
    const grant = await ask('auth/login', { body: { username, password }, wait: SIGN_IN_WAIT_MS });
    const session = new Session({ username });
    session.#take(grant);
    return session;
  }

  /** The session of this browser: of this tab before it was reloaded, or of another one. @returns {?Session} */
  static recall() {
    const stored = recall('localStorage', STORED);
    return stored?.token && stored.expiresAt > Date.now() ? new Session(stored) : null;
  }

  /** Calls back when another tab has signed in, or renewed its session. @param {() => void} signedIn */
  static onSignIn(signedIn) {
    addEventListener('storage', ({ key, newValue }) => key === STORED && newValue && recall('localStorage', STORED)?.token && signedIn());
  }

  /**
   * Renews itself from now on.
   * @param {object} handlers
   * @param {(ticket: string) => Promise<unknown>} handlers.extend  Extends the open connection; rejected when it did not.
   * @param {() => void} handlers.renewalRefused
   * @param {(reason: 'expired'|'refused'|'left') => void} handlers.ended  left: in another tab
   */
  start(handlers) {
    this.#handlers = handlers;
    const { signal } = this.#listeners;
    const wake = () => document.visibilityState !== 'hidden' && this.#tend();
    addEventListener('online', wake, { signal });
    addEventListener('pageshow', wake, { signal });
    document.addEventListener('visibilitychange', wake, { signal });
    addEventListener('storage', ({ key }) => key === STORED && this.#heardOfOtherTab(), { signal });
    this.#tend();
  }

  /** For requests to the REST API. */
  get headers() {
    return this.ended ? {} : bearer(this.#token);
  }

  /** For a new connection; it must be used within seconds. */
  async ticket() {
    if (this.ended) throw new AuthError(this.ended);
    const token = this.#token;
    try {
      const { ticket } = await ask('auth/ws-ticket', { token });
      if (token === this.#token) this.#toExtend = false;
      return ticket;
    } catch (error) {
      if (error.status !== 401) throw error;
      // It was renewed meanwhile, here or in another tab.
      if (token !== this.#token || this.#adopt(recall('localStorage', STORED))) return this.ticket();
      this.#end(this.#hasExpired ? 'expired' : 'refused');
      throw error;
    }
  }

  /** Signs out, in all tabs and on the server; that the server hears of it is not waited for. */
  leave() {
    if (this.ended) return;
    const token = this.#token;
    this.#end('left');
    revoke(token);
  }

  /** Lets go of it in this tab: the others go on with it. */
  release() {
    if (this.ended) return;
    this.ended = 'released';
    this.#token = null;
    clearTimeout(this.#timer);
    this.#listeners.abort();
  }

  /** Another tab has renewed the session, or ended it. */
  #heardOfOtherTab() {
    const stored = recall('localStorage', STORED);
    if (this.ended) return;
    if (stored?.token && stored.username === this.username) {
      if (this.#adopt(stored)) this.#tend();
    } else {
      this.#end(stored ? 'left' : this.#hasExpired ? 'expired' : 'refused', true);
    }
  }

  /** Takes over the token of another tab, if it is a newer one. */
  #adopt(stored) {
    if (stored?.username !== this.username || !stored.token || stored.token === this.#token || !(stored.expiresAt > this.expiresAt)) return false;
    this.#token = stored.token;
    this.#lifetime = stored.lifetime;
    this.expiresAt = stored.expiresAt;
    this.renewalRefused = false;
    this.#toExtend = true;
    return true;
  }

  get #hasExpired() {
    return Date.now() >= this.expiresAt - 1_000;
  }

  get #renewInMs() {
    const before = Math.min(Math.max(this.#lifetime * RENEW_AT_SHARE, RENEW_AT_LEAST_MS), this.#lifetime * RENEW_AT_MOST_SHARE);
    return this.expiresAt - before - Date.now();
  }

  #take({ access_token: token, expires_in: seconds }) {
    this.#token = token;
    this.#lifetime = seconds * 1000;
    this.expiresAt = Date.now() + this.#lifetime;
    remember('localStorage', STORED, { username: this.username, token, lifetime: this.#lifetime, expiresAt: this.expiresAt });
  }

  /** Does what is due, and sets the alarm for what comes next. */
  async #tend() {
    if (this.ended || this.#tending) return;
    clearTimeout(this.#timer);
    this.#tending = true;
    let wait;
    try {
      if (this.#renewInMs <= 0 && !this.renewalRefused) await this.#renew();
      if (this.#toExtend) {
        await this.#handlers.extend(await this.ticket());
        this.#toExtend = false;
      }
      wait = this.renewalRefused ? TIMER_MAX_MS : this.#renewInMs;
    } catch {
      wait = this.#hasExpired ? RETRY_MS_MAX : Math.min((this.expiresAt - Date.now()) * RETRY_SHARE, RETRY_MS_MAX);
    }
    this.#tending = false;
    if (!this.ended) this.#timer = setTimeout(() => this.#tend(), Math.min(Math.max(wait, RETRY_MS_MIN), TIMER_MAX_MS));
  }

  #renew() {
    return alone(async () => {
      this.#adopt(recall('localStorage', STORED));
      if (this.ended || this.#renewInMs > 0) return;
      await this.#renewNow();
      await new Promise((resolve) => { setTimeout(resolve, STORAGE_DELAY_MS); });
    });
  }

  async #renewNow() {
    try {
      const grant = await ask('auth/refresh', { token: this.#token });
      if (this.ended && this.ended !== 'released') return revoke(grant.access_token);
      this.#take(grant);
      this.#toExtend = true;
    } catch (error) {
      if (error.status !== 401) throw error;
      if (this.#hasExpired) return this.#end('expired');
      this.renewalRefused = true;
      this.#handlers.renewalRefused();
    }
  }

  /** @param {boolean} [byOtherTab]  which has seen to what is stored */
  #end(reason, byOtherTab = false) {
    if (this.ended) return;
    const isStored = !byOtherTab && recall('localStorage', STORED)?.token === this.#token;
    this.ended = reason;
    this.#token = null;
    clearTimeout(this.#timer);
    this.#listeners.abort();
    // The other tabs are told that somebody has left, and keep nothing of it; of an end they find the reason themselves.
    if (isStored) remember('localStorage', STORED, reason === 'left' ? { left: true } : null);
    if (reason !== 'left' || byOtherTab) this.#handlers?.ended(reason);
  }
}

/** Does something in one tab at a time, where the browser can (not on plain http): elsewhere two tabs may do it at once, which harms nothing. */
async function alone(work) {
  if (!navigator.locks) return work();
  let has = false;
  try {
    return await navigator.locks.request(STORED, { signal: AbortSignal.timeout(ANSWER_WAIT_MS) }, () => { has = true; return work(); });
  } catch (error) {
    if (has) throw error;
    return work(); // whoever has it sleeps
  }
}

function revoke(token) {
  fetch('auth/logout', { method: 'POST', headers: bearer(token), cache: 'no-store', credentials: 'omit', keepalive: true }).catch(() => { /* it expires */ });
}
