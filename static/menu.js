// A menu of actions at a button, or at the place of a long press: a modal dialog, which brings the top layer (also above the
// drawer), inertness and Escape with it. On a narrow screen the style sheet makes a sheet at the bottom of it.

import { el } from './view.js';

/**
 * @typedef {object} Action
 * @property {string} name      what it is, for tests and styles: one word
 * @property {string} label
 * @property {() => void} run
 * @property {string} [section] actions of another section stand below a line
 * @property {boolean} [danger] takes something away
 */

const LONG_PRESS_MS = 500;
/** A click that comes later than this after a finger was lifted is another one. */
const CLICK_AFTER_MS = 50;
/** A finger that moves further than this scrolls. */
const PRESS_SLACK_PX = 10;
/** From the edges of the screen, and from the button. */
const MARGIN_PX = 8;

let closeOpen = null;

/** Closes the menu that is open, if one is; the focus returns to its button. */
export const closeMenu = () => closeOpen?.();

/** A button that opens a menu. @param {string} label */
export const moreButton = (label, attributes = {}) => el('button', { type: 'button', 'aria-haspopup': 'menu', 'aria-label': label, ...attributes, class: `more ${attributes.class ?? ''}`.trim() });

/**
 * @param {HTMLElement} anchor  what opens it, and gets the focus back
 * @param {object} menu
 * @param {(Node|string)[]} menu.title  whom or what it is about
 * @param {Action[]} menu.actions
 * @param {{x: number, y: number}} [menu.at]  where to open it, if not at the anchor
 */
export function openMenu(anchor, { title, actions, at }) {
  closeMenu();
  if (!actions.length) return;
  const items = [];
  const content = [];
  for (const [index, action] of actions.entries()) {
    if (index && action.section !== actions[index - 1].section) content.push(el('div', { role: 'separator' }));
    const item = el('button', { type: 'button', role: 'menuitem', tabindex: '-1', class: `menu-item${action.danger ? ' danger' : ''}`, 'data-action': action.name,
      onclick: () => { close(); action.run(); } }, action.label);
    items.push(item);
    content.push(item);
  }
  const heading = el('p', { class: 'menu-title', id: 'menu-title' }, ...title);
  const dialog = el('dialog', { class: 'menu', 'aria-labelledby': 'menu-title' }, heading, el('div', { role: 'menu', 'aria-labelledby': 'menu-title' }, ...content));

  function close() {
    if (closeOpen !== close) return;
    closeOpen = null;
    removeEventListener('resize', close);
    dialog.close();
    dialog.remove();
    if (!anchor.isConnected) return;
    if (anchor.getAttribute('aria-expanded')) anchor.setAttribute('aria-expanded', 'false');
    anchor.focus({ preventScroll: true });
  }

  dialog.addEventListener('click', (event) => event.target === dialog && close());
  dialog.addEventListener('close', close);
  dialog.addEventListener('keydown', (event) => move(event, items, close));
  addEventListener('resize', close);
  closeOpen = close;
  document.body.append(dialog);
  if (anchor.hasAttribute('aria-haspopup')) anchor.setAttribute('aria-expanded', 'true');
  dialog.showModal();
  place(dialog, anchor, at);
  items[0].focus({ preventScroll: true });
}

/** @param {KeyboardEvent} event */
function move(event, items, close) {
  const now = items.indexOf(document.activeElement);
  const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
  if (to !== undefined) {
    items.at(to % items.length).focus();
  } else if (event.key === 'Tab') {
    close();
  } else if ([...event.key].length === 1 && event.key !== ' ' && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const key = event.key.toLocaleLowerCase();
    const found = [...items.slice(now + 1), ...items.slice(0, now + 1)].find((item) => item.textContent.toLocaleLowerCase().startsWith(key));
    found?.focus();
  } else {
    return;
  }
  event.preventDefault();
}

/** Within the screen, below what opened it, or above where there is no room below. */
function place(dialog, anchor, at) {
  const box = at ? { left: at.x, right: at.x, top: at.y, bottom: at.y } : anchor.getBoundingClientRect();
  const { width, height } = dialog.getBoundingClientRect();
  const isRightHalf = (box.left + box.right) / 2 > innerWidth / 2;
  const left = Math.max(MARGIN_PX, Math.min(isRightHalf ? box.right - width : box.left, innerWidth - width - MARGIN_PX));
  const below = box.bottom + MARGIN_PX / 2;
  const top = below + height <= innerHeight - MARGIN_PX ? below : Math.max(MARGIN_PX, box.top - height - MARGIN_PX / 2);
  dialog.style.setProperty('--left', `${left}px`);
  dialog.style.setProperty('--top', `${top}px`);
}

/** The finger is still down: the click that may follow when it is lifted must not choose or close anything. */
function ignoreLift() {
  const lifted = new AbortController();
  const end = () => lifted.abort();
  addEventListener('click', (event) => { event.preventDefault(); event.stopPropagation(); end(); }, { capture: true, signal: lifted.signal });
  for (const type of ['pointerup', 'pointercancel', 'touchend', 'touchcancel']) addEventListener(type, () => setTimeout(end, CLICK_AFTER_MS), { capture: true, signal: lifted.signal });
}

/**
 * Calls `open` when a finger rests on an element of `container` that the selector finds. Links keep what the browser offers for them.
 * @param {(element: HTMLElement, at: {x: number, y: number}) => void} open
 */
export function onLongPress(container, selector, open) {
  let timer;
  let pressed = null;
  const cancel = () => { clearTimeout(timer); pressed = null; };
  const fire = () => {
    const press = pressed;
    cancel();
    if (!press?.element.isConnected) return;
    getSelection()?.removeAllRanges();
    ignoreLift();
    open(press.element, { x: press.x, y: press.y });
  };
  container.addEventListener('pointerdown', (event) => {
    cancel();
    const element = event.pointerType === 'touch' && event.isPrimary && !event.target.closest('a, button') && event.target.closest(selector);
    if (!element) return;
    pressed = { element, x: event.clientX, y: event.clientY };
    timer = setTimeout(fire, LONG_PRESS_MS);
  });
  container.addEventListener('pointermove', ({ clientX, clientY }) => {
    if (pressed && Math.hypot(clientX - pressed.x, clientY - pressed.y) > PRESS_SLACK_PX) cancel();
  });
  for (const type of ['pointerup', 'pointercancel']) container.addEventListener(type, cancel);
  // Android would select a word and offer its own menu at the same time.
  container.addEventListener('contextmenu', (event) => {
    if (!pressed) return;
    event.preventDefault();
    fire();
  });
}
