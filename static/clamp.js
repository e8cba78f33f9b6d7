// Long messages: only so much of one is shown until somebody asks for all of it, so that no message pushes the others away.

import { words } from './words-log.js';
import { el, setText } from './view.js';

/** A message of fewer characters and line breaks is not looked at: it cannot be long on any screen. */
const CHARS_SHORT_MAX = 160;
const BREAKS_SHORT_MAX = 13;
/** Less than this beyond the end is shown as well. */
const SLACK_PX = 8;

export function isLong(content) {
  if (content.length > CHARS_SHORT_MAX) return true;
  return content.split('\n').length > BREAKS_SHORT_MAX + 1;
}

/** The height at which a long message ends is the style sheet's. What goes beyond it is found after layout, without forcing one. */
export class Clamp {
  #log; #changed;
  #observer = new ResizeObserver((entries) => this.#measure(entries));

  /** @param {{log: () => HTMLElement, changed: () => void}} actions   `log`: what scrolls; `changed`: heights have changed */
  constructor({ log, changed }) {
    [this.#log, this.#changed] = [log, changed];
  }

  /** @param {HTMLElement} message  a line of the log that is long @param {string} id  for its bubble, which the button controls */
  add(message, id) {
    const bubble = message.querySelector('.bubble');
    bubble.id = id;
    message.classList.add('long');
    const button = el('button', { type: 'button', class: 'link show-all', 'aria-expanded': 'false', 'aria-controls': id, hidden: true }, words.show_all);
    button.addEventListener('click', () => this.#toggle(message));
    // What is found by the browser's search, or has the focus, is scrolled to: also within what is cut off.
    bubble.addEventListener('scroll', () => this.#reveal(message));
    message.append(button);
    this.#observer.observe(bubble);
  }

  remove(line) {
    const bubble = line.classList.contains('long') && line.querySelector('.bubble');
    if (bubble) this.#observer.unobserve(bubble);
  }

  #measure(entries) {
    let changed = false;
    for (const { target: bubble } of entries) {
      const message = bubble.closest('.message');
      if (!bubble.isConnected) this.#observer.unobserve(bubble);
      if (!bubble.isConnected || message.classList.contains('open')) continue;
      const isClipped = bubble.scrollHeight > bubble.clientHeight + SLACK_PX;
      changed ||= isClipped !== message.classList.contains('clipped');
      message.classList.toggle('clipped', isClipped);
      message.querySelector('.show-all').hidden = !isClipped;
    }
    if (changed) this.#changed();
  }

  #open(message, isOpen) {
    message.classList.toggle('open', isOpen);
    const button = message.querySelector('.show-all');
    button.setAttribute('aria-expanded', isOpen);
    setText(button, isOpen ? words.show_less : words.show_all);
  }

  /** Opened, the text goes on where it was cut off. Closed, the button stays where it is, and what follows comes up to it. */
  #toggle(message) {
    const button = message.querySelector('.show-all');
    const isOpen = !message.classList.contains('open');
    const before = button.getBoundingClientRect().bottom;
    this.#open(message, isOpen);
    if (!isOpen) this.#log().scrollTop += button.getBoundingClientRect().bottom - before;
    this.#changed(true);
  }

  #reveal(message) {
    const bubble = message.querySelector('.bubble');
    const hidden = bubble.scrollTop;
    if (!hidden || message.classList.contains('open')) return;
    this.#open(message, true);
    bubble.scrollTop = 0;
    this.#log().scrollTop += hidden;
    this.#changed(true);
  }
}
