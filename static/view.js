// Small pieces the page is built from. Everything a person typed gets in as text, never as markup.

import { words } from './words.js';

export const byId = (id) => document.getElementById(id);

/** `el('p', {class: 'hint', onclick: …}, 'text', child)`: an element, its attributes and listeners, its content. */
export function el(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...content.filter((part) => part !== null && part !== undefined && part !== false));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A name in a sentence: its direction must not turn the sentence around. */
export const bdi = (name) => el('bdi', {}, name);

/** A sentence of `words` with names (or nodes) in it, as nodes: `sentence(words.whisper_to, name)`. */
export function sentence(template, ...names) {
  const marks = names.map((_, index) => `\u{F0000}${index}\u{F0000}`);
  return template(...marks).split('\u{F0000}').map((part, index) => {
    const name = names[Number(part)];
    return index % 2 === 0 ? part : name instanceof Node ? name : bdi(name);
  });
}

const TONES = 7;
/** A code point with the marks that combine with it, a flag, or code points that are joined into one picture. */
const FIRST_CHARACTER = /^(?:\p{RI}\p{RI}|.(?:\p{M}|\p{EMod}|\u200d.)*)/su;

let segmenter;

/** The first character of a text, as people count them. `Intl.Segmenter` is in Firefox from 125 on. */
function firstCharacter(text) {
  try {
    segmenter ??= new Intl.Segmenter();
    const [{ segment }] = segmenter.segment(text);
    return segment;
  } catch {
    return FIRST_CHARACTER.exec(text)?.[0] ?? '';
  }
}

/** The seal of a person: the first character of the name, in a colour that stays theirs. */
export function seal(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return el('span', { class: `seal tone-${hash % TONES}`, 'aria-hidden': 'true' }, firstCharacter(name.trim() || '?').toUpperCase());
}

/**
 * Makes the children of a list show `models`, keeping those that are there already, and with them the focus.
 * @param {(model) => string} keyOf
 * @param {(model) => HTMLElement} create
 * @param {(element: HTMLElement, model) => void} [update]
 */
export function reconcile(list, models, keyOf, create, update) {
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...list.children].findIndex((child) => child.contains(focused));
  const wanted = new Set(models.map(keyOf));
  const kept = new Map();
  for (const child of [...list.children]) {
    if (wanted.has(child.dataset.key)) kept.set(child.dataset.key, child);
    else child.remove();
  }
  let next = list.firstElementChild;
  for (const model of models) {
    const key = keyOf(model);
    const child = kept.get(key) ?? create(model);
    child.dataset.key = key;
    update?.(child, model);
    if (child !== next && focused && child.contains(focused)) {
      // An element that is moved loses the focus: the others move.
      while (next !== child) {
        const other = next;
        next = next.nextElementSibling;
        list.append(other);
      }
    }
    if (child === next) next = next.nextElementSibling;
    else list.insertBefore(child, next);
  }
  // What had the focus is gone: what has come in its place has it, or the title of the page, from where to read on.
  if (!focused || focused.isConnected) return;
  const successor = focusableIn(list.children[Math.min(place, list.children.length - 1)]);
  if (successor) successor.focus({ preventScroll: true });
  else focusTitle();
}

/** From the title of what is shown one reads on, when what had the focus is gone. The dashboard has none. */
export const focusTitle = () => byId('place')?.focus({ preventScroll: true });

const focusableIn = (element) => element?.querySelector('button');

/** Sets a text only when it differs: a live region must not speak twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** On a narrow screen a side panel is lent to the modal drawer, which brings focus, Escape and inertness with it. */
export function setUpDrawer(wide) {
  const drawer = byId('drawer');
  let home = null;
  const giveBack = () => {
    if (home) home.append(drawer.querySelector('.panel'));
    home = null;
  };
  drawer.addEventListener('close', giveBack);
  drawer.addEventListener('click', (event) => event.target === drawer && drawer.close());
  byId('drawer-close').addEventListener('click', () => drawer.close());
  wide.addEventListener('change', () => drawer.close());
  return {
    open(place) {
      home = place;
      drawer.classList.toggle('from-end', place.id === 'people-place');
      const panel = place.firstElementChild;
      drawer.setAttribute('aria-label', panel.getAttribute('aria-label') ?? words.people);
      drawer.append(panel);
      drawer.showModal();
    },
    close: () => drawer.close(),
  };
}

/** Says that a name is a guest's: anybody may choose one that looks like somebody else's. */
export const guestMark = (isGuest) => (isGuest ? el('span', { class: 'guest' }, words.guest) : null);
