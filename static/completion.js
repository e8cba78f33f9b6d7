// Names offered while they are written behind an `@` in the message field: a list box that the field controls. The focus stays in the
// field. It keeps its role of a text box with several lines, which a combobox is not, and tells which name is active as one.

import { byId, el, guestMark, seal, setText } from './view.js';
import { folded } from './mentions.js';
import { count } from './words.js';
import { words } from './words-calls.js';

const OFFERED_MAX = 8;
/** A name has at most 32 characters, each of one or two UTF-16 units. */
const QUERY_UNITS_MAX = 64;
/** Before an `@`, these make it a part of something else: of an e-mail address, a path. */
const PART_OF_MAIL = /[A-Za-z0-9_.%+-]/u;

/** @typedef {{name: string, guest: boolean}} Person */

/** The `@` and what is written behind it up to the caret, or null. */
function queryIn({ value, selectionStart: caret, selectionEnd }) {
  if (caret !== selectionEnd) return null;
  const at = value.lastIndexOf('@', caret - 1);
  if (caret === 0 || at < 0 || caret - at - 1 > QUERY_UNITS_MAX || PART_OF_MAIL.test(value[at - 1] ?? ' ')) return null;
  const written = value.slice(at + 1, caret);
  return written.includes('\n') ? null : { at, written };
}

/** Those whose name, or a word of it, begins as it is written; the former first. @param {Person[]} people  @returns {Person[]} */
function matching(people, written) {
  const wanted = folded(written);
  const rank = ({ name }) => (folded(name).startsWith(wanted) ? 0 : folded(name).includes(` ${wanted}`) ? 1 : 2);
  const found = people.map((person) => [rank(person), person]).filter(([place]) => place < 2);
  return found.sort(([a], [b]) => a - b).slice(0, OFFERED_MAX).map(([, person]) => person);
}

export class Completion {
  #text = byId('text');
  #list = byId('names');
  #people;
  /** @type {Person[]} */ #offered = [];
  #active = 0;
  #at = -1;
  #refused = -1; // the list was closed with Escape at this `@`
  #isComposing = false; // an input method, with what is offered already
  #pressed = false; // a pointer is down on the list, which must not close before it is up

  /** @param {() => Person[]} people  who can be mentioned, in the order they are to be offered */
  constructor(people) {
    this.#people = people;
    this.#list.setAttribute('aria-label', words.names);
    const text = this.#text;
    text.addEventListener('input', () => this.#update());
    text.addEventListener('click', () => this.#update());
    text.addEventListener('keyup', ({ key }) => ['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(key) && this.#update());
    for (const type of ['compositionstart', 'compositionend']) text.addEventListener(type, () => { this.#isComposing = type === 'compositionstart'; });
    text.addEventListener('blur', () => !this.#pressed && this.close());
    // Before the field sends the message, or the page takes Escape for something else.
    byId('composer').addEventListener('keydown', (event) => this.#keyPressed(event), { capture: true });
    this.#list.addEventListener('pointerdown', () => { this.#pressed = true; });
    this.#list.addEventListener('mousedown', (event) => event.preventDefault()); // the focus stays in the field
    for (const type of ['pointerup', 'pointercancel']) addEventListener(type, () => { this.#pressed = false; });
    this.#list.addEventListener('click', ({ target }) => {
      const index = [...this.#list.children].indexOf(target.closest('[role="option"]'));
      if (index >= 0) this.#choose(index);
    });
  }

  close() {
    this.#offered = [];
    this.#show();
  }

  #update() {
    const query = queryIn(this.#text);
    if (query?.at !== this.#refused) this.#refused = -1;
    const found = query && this.#refused < 0 ? matching(this.#people(), query.written) : [];
    // A name that is written out leaves nothing to be chosen: Enter is to send the message.
    const isComplete = found.length === 1 && folded(found[0].name) === folded(query.written);
    const isSame = query?.at === this.#at && found.map(({ name }) => name).join('\n') === this.#offered.map(({ name }) => name).join('\n');
    this.#at = query?.at ?? -1;
    this.#offered = isComplete ? [] : found;
    if (!isSame || isComplete) this.#active = 0;
    this.#show();
  }

  #show() {
    const isOpen = this.#offered.length > 0;
    this.#list.hidden = !isOpen;
    this.#list.replaceChildren(...this.#offered.map((person, index) => el('li', { id: `name-${index}`, role: 'option', 'aria-selected': String(index === this.#active) },
      seal(person.name), el('bdi', {}, person.name), guestMark(person.guest))));
    if (isOpen) this.#text.setAttribute('aria-activedescendant', `name-${this.#active}`);
    else this.#text.removeAttribute('aria-activedescendant');
    setText(byId('names-state'), isOpen ? words.names_offered(count(this.#offered.length)) : '');
    this.#list.children[this.#active]?.scrollIntoView({ block: 'nearest' });
  }

  #keyPressed(event) {
    // While an input method composes, its keys are its own (229 is Safari's way to say so).
    if (!this.#offered.length || event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.#move(step);
    else if (['Enter', 'Tab'].includes(event.key) && !event.shiftKey) this.#choose(this.#active);
    else if (event.key === 'Escape') this.#refuse();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #move(step) {
    this.#active = (this.#active + step + this.#offered.length) % this.#offered.length;
    this.#show();
  }

  #refuse() {
    this.#refused = this.#at;
    this.close();
  }

  #choose(index) {
    const { name } = this.#offered[index];
    const at = this.#at;
    const text = this.#text;
    if (this.#isComposing) { // Leaving the field ends that; else what is composed would be written once more behind the name.
      text.blur();
      text.focus({ preventScroll: true });
    }
    const { selectionEnd: end, value } = text;
    text.setRangeText(`@${name}${value[end] === ' ' ? '' : ' '}`, at, end, 'end');
    if (value[end] === ' ') text.setSelectionRange(text.selectionEnd + 1, text.selectionEnd + 1);
    this.close();
    text.dispatchEvent(new Event('input', { bubbles: true })); // the draft, the counter
    this.close();
  }
}
