// Someone who signed in: the access token, its renewal before it expires, and the one-use tickets it buys.
// The server is the judge of what is still valid; the clock of this machine only says when to ask and how to word the end.

import { recall, remember } from './view.js';

const STORED = 'sarang.token';
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
  /** Why it is over: `expired`, `refused` by the server before its time, `left`. @type {?('expired'|'refused'|'left')} */ ended = null;
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

  /** The session of this tab before it was reloaded. @returns {?Session} */
  static recall() {
    const stored = recall('sessionStorage', STORED);
    return stored?.token ? new Session(stored) : null;
  }

  /**
   * Renews itself from now on.
   * @param {object} handlers
   * @param {(ticket: string) => Promise<unknown>} handlers.extend  Extends the open connection; rejected when it did not.
   * @param {() => void} handlers.renewalRefused
   * @param {(reason: 'expired'|'refused') => void} handlers.ended
   */
  start(handlers) {
    this.#handlers = handlers;
    const { signal } = this.#listeners;
    const wake = () => document.visibilityState !== 'hidden' && this.#tend();
    addEventListener('online', wake, { signal });
    addEventListener('pageshow', wake, { signal });
    document.addEventListener('visibilitychange', wake, { signal });
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
      if (token !== this.#token) return this.ticket(); // it was renewed meanwhile
      this.#end(this.#hasExpired ? 'expired' : 'refused');
      throw error;
    }
  }

  /** Signs out, here and on the server; that the server hears of it is not waited for. */
  leave() {
    if (this.ended) return;
    const token = this.#token;
    this.#end('left');
    revoke(token);
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
    remember('sessionStorage', STORED, { username: this.username, token, lifetime: this.#lifetime, expiresAt: this.expiresAt });
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

  async #renew() {
    try {
      const grant = await ask('auth/refresh', { token: this.#token });
      if (this.ended) return revoke(grant.access_token);
      this.#take(grant);
      this.#toExtend = true;
    } catch (error) {
      if (error.status !== 401) throw error;
      if (this.#hasExpired) return this.#end('expired');
      this.renewalRefused = true;
      this.#handlers.renewalRefused();
    }
  }

  #end(reason) {
    if (this.ended) return;
    this.ended = reason;
    this.#token = null;
    clearTimeout(this.#timer);
    this.#listeners.abort();
    remember('sessionStorage', STORED, null);
    if (reason !== 'left') this.#handlers?.ended(reason);
  }
}

function revoke(token) {
  fetch('auth/logout', { method: 'POST', headers: bearer(token), cache: 'no-store', credentials: 'omit', keepalive: true }).catch(() => { /* it expires */ });
}
