// The field in which a message is written: it grows with its text, counts what is left, and knows which Enter sends.

import { count, words } from './words.js';
import { withoutBlankLines } from './text.js';
import { byId } from './view.js';

const CONTENT_CHARS_MAX = 4096;
/** The counter shows when this many characters are left. */
const COUNTER_FROM_CHARS = 300;
/** On a touch screen the keyboard has no Shift+Enter: there its Enter breaks the line, and the button sends. */
const touch = matchMedia('(hover: none) and (pointer: coarse)');

/** What is written, or what is to be written on. */
export const draft = () => byId('text').value;

export function setDraft(text) {
  byId('text').value = text;
  textChanged();
}

const content = () => withoutBlankLines(draft()).trimEnd();

/** What may be sent: null while it is nothing, or too much. */
export function written() {
  const text = content();
  return text && charactersLeft(text) >= 0 ? text : null;
}

/** Counted as the server counts: code points, not UTF-16 units. */
const charactersLeft = (text) => CONTENT_CHARS_MAX - [...text].length;

function textChanged() {
  const text = content();
  const left = charactersLeft(text);
  grow();
  byId('counter').textContent = left > COUNTER_FROM_CHARS ? '' : left >= 0 ? words.characters_left(count(left)) : words.characters_over(count(-left));
  byId('counter').classList.toggle('over', left < 0);
  byId('text').setAttribute('aria-invalid', left < 0);
  byId('send').setAttribute('aria-disabled', left < 0 || !text);
}

/** As high as its text; the style sheet sets the limit. `field-sizing` would do it, but Firefox and Safari have it late or not at all. */
function grow() {
  const text = byId('text');
  text.style.height = '';
  text.classList.remove('overflows');
  if (!text.value) return; // nor as high as its placeholder, which is cut off to one line
  const { scrollHeight } = text;
  text.style.height = `${scrollHeight}px`;
  text.classList.toggle('overflows', scrollHeight > text.clientHeight + 1);
}

function showEnterKey() {
  byId('text').enterKeyHint = touch.matches ? 'enter' : 'send';
}

function textKey(event) {
  // While an input method composes, Enter ends the composition: Korean would be sent twice (229 is Safari's way to say so).
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229 || event.defaultPrevented) return;
  if (touch.matches && !event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  byId('composer').requestSubmit();
}

/** @param {(event: SubmitEvent) => void} say */
export function setUpComposer(say) {
  byId('composer').addEventListener('submit', say);
  byId('text').addEventListener('keydown', textKey);
  byId('text').addEventListener('input', textChanged);
  touch.addEventListener('change', showEnterKey);
  showEnterKey();
  let width = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === width) return; // its own height has changed
    width = contentRect.width;
    grow();
  }).observe(byId('text'));
}
