// The entry screen: coming in as a guest under a name, or signing in to an account; and why one is back out here.

import { nameOf, newId } from './sarang.js';
import { AuthError, Session, whoMayEnter } from './session.js';
import { explain, words } from './words.js';
import { recall, remember } from './storage.js';
import { byId, icon, sentence, setText } from './view.js';

const NAME_CHARS_MAX = 32;
const ASK_AGAIN_MS = 3_000;
const COUNT_DOWN_MS = 250;
/** As the server announces it at its start in demo mode. */
const DEMO_ACCOUNT = ['admin', 'secret'];

const KEYS_KEPT_MAX = 20;

/** The key by which a guest of this browser holds a name: the same in every tab, and after a reload. */
export function guestKey(name) {
  const spelling = name.normalize('NFKC').toLowerCase();
  const stored = recall('localStorage', 'sarang.keys');
  // An older page, or another program, may have written it: what is no key must not keep anybody out.
  const keys = new Map(Array.isArray(stored) ? stored.filter((each) => typeof each?.[0] === 'string' && typeof each[1] === 'string') : []);
  const key = keys.get(spelling) ?? newId();
  keys.delete(spelling);
  remember('localStorage', 'sarang.keys', [...keys, [spelling, key]].slice(-KEYS_KEPT_MAX));
  return key;
}

export class Entry {
  #actions;
  /** @type {'guest'|'sign-in'|null}  the form that is shown */ #way = null;
  #opened = 0; // answers to what an earlier opening asked are void
  /** @type {?{guests: boolean, demo: boolean, lobby?: ?string}} */ #open = null;
  #busy = false;
  #waitUntil = 0; // the server takes no sign-in before
  #timer;

  /** @param {{enterAsGuest: (name: string) => void, signedIn: (session: Session) => void}} actions */
  constructor(actions) {
    this.#actions = actions;
    byId('entry-form').addEventListener('submit', (event) => this.#enterAsGuest(event));
    byId('sign-in-form').addEventListener('submit', (event) => this.#signIn(event));
    byId('show-password').addEventListener('click', () => this.#showPassword(byId('password').type === 'password'));
    byId('other-way-button').addEventListener('click', () => this.#show(this.#way === 'guest' ? 'sign-in' : 'guest'));
  }

  /** Who comes, as a link to the page or an earlier visit tells. */
  preset(name) {
    byId('name').value = typeof name === 'string' ? name : '';
  }

  /** Says into which room one comes, if that is known. */
  leadsTo(room) {
    byId('entry-room').hidden = !room;
    byId('entry-room').replaceChildren(...sentence(words.entering_room, room ?? ''));
  }

  /** What the server lets in, once it has said so. */
  get open() {
    return this.#open;
  }

  /** Takes someone in who has said who they are before: nothing is asked. */
  openForReturning() {
    byId('entry').hidden = false;
    setText(byId('lead'), words.lead);
    setText(byId('entry-wait'), words.entering);
  }

  /**
   * Asks who comes. @param {object} [why]
   * @param {string} [why.problem]  what kept a guest from coming in   @param {string} [why.reason]  why a session ended
   * @param {string} [why.account]  whose it was: only they can go on with it
   */
  async ask({ problem = '', reason = '', account = '' } = {}) {
    const opened = this.#opened += 1;
    byId('entry').hidden = false;
    byId('password').value = '';
    if (account) byId('account').value = account;
    this.#showPassword(false);
    this.#idle();
    setText(byId('entry-reason'), reason);
    // What was known before may be used until the answer comes; mostly it is the same.
    if (this.#open) this.#present(account, problem);
    else setText(byId('entry-wait'), words.opening);
    const before = this.#open;
    while (opened === this.#opened) {
      try {
        const open = await whoMayEnter();
        if (opened !== this.#opened) return;
        this.#open = open;
        if (open.guests !== before?.guests || open.demo !== before.demo) this.#present(account, problem);
        return;
      } catch {
        if (opened === this.#opened && !before) setText(byId('entry-wait'), words.unreachable);
        await new Promise((resolve) => { setTimeout(resolve, ASK_AGAIN_MS); });
      }
    }
  }

  close() {
    this.#opened += 1;
    byId('entry').hidden = true;
    byId('password').value = '';
    setText(byId('entry-reason'), '');
    this.#idle();
  }

  /** Says in the form that is shown what went wrong. */
  problem(text) {
    setText(byId(this.#way === 'sign-in' ? 'sign-in-error' : this.#way ? 'entry-error' : 'entry-wait'), text);
  }

  #present(account, problem) {
    // Where guests are not let in any more, it says nothing that a guest was turned away.
    this.#show(this.#wayFor(account, problem), account || this.#open.guests ? problem : '');
  }

  #wayFor(account, problem) {
    if (account || !this.#open.guests) return 'sign-in';
    // A guest who was turned away, or who was here before, is a guest still.
    return this.#open.demo || problem || byId('name').value ? 'guest' : 'sign-in';
  }

  #show(way, problem = '') {
    this.#way = way;
    const { guests, demo } = this.#open;
    const isGuest = way === 'guest';
    setText(byId('lead'), !guests ? words.lead_sign_in : isGuest ? words.lead : words.lead_both);
    setText(byId('entry-wait'), '');
    byId('entry-form').hidden = !isGuest;
    byId('sign-in-form').hidden = isGuest;
    byId('demo-hint').hidden = !demo;
    byId('demo-hint').replaceChildren(...demo ? sentence(words.demo_hint, ...DEMO_ACCOUNT) : []); // a hidden description is read out too
    byId('other-way').hidden = !guests;
    setText(byId('other-way-text'), isGuest ? words.to_sign_in_text : words.to_guest_text);
    setText(byId('other-way-button'), isGuest ? words.to_sign_in : words.to_guest);
    this.#failed(problem, null);
    const account = byId('account').value;
    byId(isGuest ? 'name' : account ? 'password' : 'account').focus();
  }

  #idle() {
    this.#busy = false;
    byId('enter').textContent = words.enter;
    this.#renderSignIn();
  }

  #renderSignIn() {
    const seconds = Math.ceil((this.#waitUntil - Date.now()) / 1000);
    const isWaiting = seconds > 0;
    clearTimeout(this.#timer);
    if (isWaiting) this.#timer = setTimeout(() => this.#renderSignIn(), COUNT_DOWN_MS);
    else if (this.#waitUntil) {
      this.#waitUntil = 0;
      setText(byId('sign-in-error'), '');
    }
    setText(byId('sign-in'), this.#busy ? words.signing_in : isWaiting ? words.sign_in_in(seconds) : words.sign_in);
    byId('sign-in').setAttribute('aria-disabled', this.#busy || isWaiting);
  }

  /** Marks the field that is wrong, and goes there. */
  #failed(problem, field) {
    setText(byId(this.#way === 'guest' ? 'entry-error' : 'sign-in-error'), problem);
    for (const id of ['name', 'account', 'password']) byId(id).setAttribute('aria-invalid', id === field);
    if (field) byId(field).focus();
  }

  #enterAsGuest(event) {
    event.preventDefault();
    const name = nameOf(byId('name').value.trim());
    const problem = !name ? words.name_missing : [...name].length > NAME_CHARS_MAX ? words.name_too_long : '';
    if (problem) return this.#failed(problem, 'name');
    this.#failed('', null);
    setText(byId('entry-reason'), '');
    byId('enter').textContent = words.entering;
    this.#actions.enterAsGuest(name);
  }

  async #signIn(event) {
    event.preventDefault();
    if (this.#busy || this.#waitUntil > Date.now()) return;
    const [account, password] = [byId('account').value.trim(), byId('password').value];
    if (!account) return this.#failed(words.account_missing, 'account');
    if (!password) return this.#failed(words.password_missing, 'password');
    this.#failed('', null);
    this.#showPassword(false); // a password manager looks for the password in a password field
    this.#busy = true;
    this.#renderSignIn();
    const opened = this.#opened;
    try {
      const session = await Session.signIn(account, password);
      // Busy until the house is entered.
      if (opened === this.#opened && this.#way === 'sign-in') return this.#actions.signedIn(session);
      session.leave(); // they turned away meanwhile
      this.#idle();
    } catch (error) {
      this.#idle();
      if (!(error instanceof AuthError)) throw error;
      this.#refused(error);
    }
  }

  #refused({ code, status, retryAfter }) {
    if (retryAfter) this.#waitUntil = Date.now() + retryAfter * 1000;
    this.#renderSignIn();
    const known = status === 429 ? 'sign_in_throttled' : status === 400 ? 'invalid_credentials' : code;
    const text = retryAfter ? `${explain(known)} ${words.wait_then_try(retryAfter)}` : explain(known);
    this.#failed(text, known === 'invalid_credentials' ? 'password' : null);
    if (known === 'invalid_credentials') byId('password').select();
  }

  #showPassword(shown) {
    byId('password').type = shown ? 'text' : 'password';
    byId('show-password').setAttribute('aria-pressed', shown);
    byId('show-password').replaceChildren(icon(shown ? 'eye-shut' : 'eye'));
  }
}
