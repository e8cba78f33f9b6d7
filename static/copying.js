// A passage of a conversation that is copied: plain text, with names and times as people would write them.

import { dayOf } from './words.js';
import { locale } from './language.js';

const clock = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

/** What is for doing and for hearing, and not what was said. */
const NOT_SAID = 'button, [role="status"]';

/** @param {() => string} ownName */
export function setUpCopying(place, ownName) {
  document.addEventListener('copy', (event) => {
    const selection = getSelection();
    const range = selection.rangeCount ? selection.getRangeAt(0) : null;
    // Whoever selects all while reading means the conversation, not the page around it.
    if (!range || !(place.contains(range.commonAncestorContainer) || place.contains(document.activeElement))) return;
    const text = passage(place, range, ownName());
    if (!text) return;
    event.clipboardData.setData('text/plain', text);
    event.preventDefault();
  });
}

/** Of one message only what is selected of it; of several, who said it and when. Empty when no message is selected. */
function passage(place, range, ownName) {
  const parts = [];
  let day = null;
  for (const line of place.querySelectorAll('.message, .day')) {
    if (line.hidden || !range.intersectsNode(line)) continue; // hidden: of people one does not want to see
    if (line.matches('.day')) {
      day = line.querySelector('time');
      continue;
    }
    const bubble = line.querySelector('.bubble');
    const text = bubble && textOf(bubble, range).trimEnd();
    if (!text) continue;
    const at = line.querySelector('time.time')?.getAttribute('datetime');
    const name = line.classList.contains('mine') ? ownName : line.querySelector('.by bdi')?.textContent;
    parts.push({ text, day: parts.length && day ? `${dayOf(at ? new Date(at) : new Date())}\n` : '', by: `${name}${at ? ` ${clock.format(new Date(at))}` : ''}` });
    day = null;
  }
  if (parts.length < 2) return parts[0]?.text ?? '';
  return parts.map(({ text, day: under, by }, index) => `${under}${by === parts[index - 1]?.by && !under ? '' : `${by}\n`}${text}\n`).join('');
}

/** The part of a node's text that is in the range; code and quotes stand on lines of their own. */
function textOf(node, range) {
  if (!range.intersectsNode(node)) return '';
  if (node.nodeType === Node.TEXT_NODE) {
    const to = node === range.endContainer ? range.endOffset : node.length;
    return node.data.slice(node === range.startContainer ? range.startOffset : 0, to);
  }
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches(NOT_SAID)) return '';
  let text = '';
  for (const child of node.childNodes) {
    const part = textOf(child, range);
    const isBlock = child.nodeType === Node.ELEMENT_NODE && child.matches('blockquote, .code-block');
    if (part && isBlock) text += `${text && !text.endsWith('\n') ? '\n' : ''}${part.replace(/\n$/u, '')}\n`;
    else text += part;
  }
  return node.matches('blockquote') && text ? text.replace(/\n$/u, '').replace(/^/gmu, '> ') : text;
}
