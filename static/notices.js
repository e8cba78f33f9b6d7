// Notices: what the page says, or asks, where it belongs to no other place on it. A new one takes the place of the one before.

import { byId, el, focusTitle, icon, sentence } from './view.js';
import { words } from './words-people.js';

const SHOWN_MS = 8_000;
/** id of a place → what ends its notice. */
const timers = new Map();

/**
 * @param {'notice'|'told'|'ask'} id  of the place, which says how it is read out: of a problem, of what was done, of a question
 * @param {(Node|string)[]} content
 * @param {object} [more]
 * @param {{label: string, run: () => void}} [more.action]
 * @param {string} [more.close]  what the button says that closes it @param {() => void} [more.onclose]  called by both buttons
 * @param {boolean} [more.stays]  until it is closed
 */
export function showNotice(id, content, { action, close = words.close, onclose, stays = false } = {}) {
  const place = byId(id);
  const hide = () => {
    const hadFocus = place.contains(document.activeElement);
    place.replaceChildren();
    if (hadFocus) focusTitle();
  };
  const button = (attributes, run, label) => el('button', { type: 'button', ...attributes, onclick: () => { hide(); onclose?.(); run?.(); } }, label);
  place.replaceChildren(el('div', { class: id === 'notice' ? 'notice' : 'notice told' }, el('p', {}, ...content),
    action && button({ class: 'link' }, action.run, action.label), button({ class: 'square', 'aria-label': close, title: close }, null, icon('close'))));
  clearTimeout(timers.get(id));
  if (stays) return;
  const later = () => {
    // Whoever is at its button is not done with it.
    if (place.matches(':hover, :focus-within')) timers.set(id, setTimeout(later, SHOWN_MS));
    else hide();
  };
  timers.set(id, setTimeout(later, SHOWN_MS));
}

/**
 * Says that something was done; perhaps with a way to undo it.
 * @param {string|((...names: string[]) => string)} text  a sentence, or one of `words` for the names
 * @param {{names?: string[], action?: {label: string, run: () => void}}} [more]
 */
export function announce(text, { names = [], action } = {}) {
  byId('drawer').close(); // behind it nothing is seen, or read out
  showNotice('told', typeof text === 'function' ? sentence(text, ...names) : [text], { action });
}

/** @param {string} text */
export const announceProblem = (text) => showNotice('notice', [text]);
