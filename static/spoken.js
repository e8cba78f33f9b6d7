// Says to those who do not see the page what others see beside the text they are at. It is shown nowhere.

import { byId } from './view.js';

/** Then it is no longer found by whoever reads the page through. */
const KEPT_MS = 5_000;
let timer;

/** @param {string} text  the same may be said again */
export function speak(text) {
  const place = byId('spoken');
  clearTimeout(timer);
  place.replaceChildren(text);
  timer = setTimeout(() => place.replaceChildren(), KEPT_MS);
}
