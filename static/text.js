// The text of a message as nodes of the page: code, quotes, links and mentions, as markup.js finds them. Whatever a person typed gets in as text.

import { copy } from './clipboard.js';
import { parse } from './markup.js';
import { el, icon, setText } from './view.js';
import { words } from './words-calls.js';

const COPIED_SHOWN_MS = 4_000;
/** A line of anything else is blank: white space, what no font draws (a Hangul filler, a zero-width space), and a Braille cell without dots. */
const VISIBLE = /[^\s\p{Default_Ignorable_Code_Point}\u2800]/u;

/** A text without the blank lines around it; spaces before its first word may belong to code. @returns {string}  empty when nothing can be seen of it */
export function withoutBlankLines(content) {
  const lines = content.split('\n');
  const isVisible = (line) => VISIBLE.test(line);
  const first = lines.findIndex(isVisible);
  return first < 0 ? '' : lines.slice(first, lines.findLastIndex(isVisible) + 1).join('\n');
}

/**
 * @param {string} content
 * @param {{mentions?: import('./markup.js').Mentions}} [options]
 * @returns {(Node|string)[]}  the text as it is when it cannot be formatted: no message may keep others from being shown
 */
export function formatted(content, { mentions } = {}) {
  try {
    return parse(content, mentions).map(shown);
  } catch (error) {
    console.warn('a message is shown without its format', error);
    return [content];
  }
}

/** @param {import('./markup.js').Token} token */
function shown(token) {
  switch (token.kind) {
    case 'link': return el('a', { href: token.href, target: '_blank', rel: 'noopener noreferrer', dir: 'ltr' }, token.text);
    case 'mention': return el('bdi', { class: token.own ? 'mention own' : 'mention' }, token.text);
    case 'code': return el('code', { dir: 'ltr' }, token.code);
    case 'block': return codeBlock(token);
    case 'quote': return el('blockquote', {}, ...token.content.map(shown));
    default: return token.text;
  }
}

/** Code that is wider than its place scrolls by itself: also by keyboard, hence a tab stop, which other code does not need. */
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.setAttribute('tabindex', '0');
    else target.removeAttribute('tabindex');
  }
});

function codeBlock({ code, language }) {
  const copied = el('span', { class: 'copied', role: 'status' });
  const scroller = el('pre', { role: 'group', 'aria-label': words.code(language) }, el('code', {}, code));
  widths.observe(scroller);
  const button = el('button', { type: 'button', class: 'square copy', 'aria-label': words.copy_code, title: words.copy_code }, icon('copy'));
  let timer;
  button.addEventListener('click', async () => {
    setText(copied, ''); // said again when it is done again
    const done = await copy(code);
    setText(copied, done ? words.copied : words.not_copied);
    clearTimeout(timer);
    timer = setTimeout(() => setText(copied, ''), COPIED_SHOWN_MS);
  });
  return el('div', { class: 'code-block', dir: 'ltr' }, scroller, el('div', { class: 'code-bar' }, copied, button));
}
