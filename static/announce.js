// Says that something was done, where it belongs to no other place on the page; perhaps with a way to undo it.

import { byId, el, icon, sentence } from './view.js';
import { words } from './words-people.js';

const SHOWN_MS = 8_000;
let timer;

/**
 * @param {string|((...names: string[]) => string)} text  a sentence, or one of `words` for the names
 * @param {{names?: string[], action?: {label: string, run: () => void}}} [more]
 */
export function announce(text, { names = [], action } = {}) {
  const place = byId('told');
  byId('drawer').close(); // behind it nothing is seen, or read out
  const hide = () => {
    const hadFocus = place.contains(document.activeElement);
    place.replaceChildren();
    if (hadFocus) byId('place').focus({ preventScroll: true });
  };
  const content = typeof text === 'function' ? sentence(text, ...names) : [text];
  clearTimeout(timer);
  place.replaceChildren(el('div', { class: 'notice told' }, el('p', {}, ...content),
    action && el('button', { type: 'button', class: 'link', onclick: () => { hide(); action.run(); } }, action.label),
    el('button', { type: 'button', class: 'square', 'aria-label': words.close, onclick: hide }, icon('close'))));
  const later = () => {
    // Whoever is at its button is not done with it.
    if (place.matches(':hover, :focus-within')) timer = setTimeout(later, SHOWN_MS);
    else hide();
  };
  timer = setTimeout(later, SHOWN_MS);
}
