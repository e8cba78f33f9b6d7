// What stands in a log: a message, a day, who came and left, what is missing.

import { count, dayOf, timeOf, words as common } from './words.js';
import { words } from './words-log.js';
import { isHidden } from './hiding.js';
import { formatted, withoutBlankLines } from './text.js';
import { bdi, el, guestMark, seal, sentence } from './view.js';

/** @typedef {import('./conversation.js').Item} Item */

/** Messages of one person within this time stand together under one name. */
const TOGETHER_MS = 5 * 60_000;
/** Of more people than this who came and left, the number is told instead of the names. */
const NAMES_SHOWN_MAX = 6;

export const sameDay = (a, b) => a.toDateString() === b.toDateString();
const sameMinute = (a, b) => Math.floor(a / 60_000) === Math.floor(b / 60_000);

/** Whether two items stand under one name. @param {Item} [before] @param {Item} [item] */
export const together = (before, item) => before?.kind === 'message' && item?.kind === 'message' && before.from === item.from
  && before.guest === item.guest && item.at - before.at < TOGETHER_MS && sameDay(before.at, item.at);

/** Of those that stand under one name, the last one of a minute tells the time. */
export const sharesMinute = (item, next) => together(item, next) && sameMinute(item.at, next.at);

const deleted = () => el('p', { class: 'deleted' }, common.deleted);

/**
 * @param {Item} item
 * @param {object} parts
 * @param {boolean} parts.first  under its name @param {?string} parts.link  to the message @param {import('./markup.js').Mentions} parts.mentions
 * @param {Node} parts.menu  the button of its menu
 */
export function message(item, { first, link, mentions, menu }) {
  const { serial, from, guest, mine, content, at, gone, mentionsUs } = item;
  return el('li', { class: `message${mine ? ' mine' : ''}${first ? ' first' : ''}${mentionsUs && !gone ? ' mentions-us' : ''}`, 'data-serial': serial, tabindex: '-1' },
    !mine && first ? seal(from) : null,
    el('p', { class: first && !mine ? 'by' : 'by unseen' }, ...(mine ? [common.own_name] : [bdi(from), guestMark(guest)])),
    el('div', { class: 'line' },
      gone ? deleted() : bubble(content, mentions) ?? el('p', { class: 'nothing' }, words.empty_message),
      el('time', { class: 'time', datetime: at.toISOString() }, link ? el('a', { href: link, tabindex: '-1' }, timeOf(at)) : timeOf(at)),
      el('span', { class: 'message-actions' }, menu)));
}

/** @returns {?HTMLElement}  null when there is nothing to see in it: other clients may send that */
export function bubble(content, mentions) {
  const text = withoutBlankLines(content);
  return text ? el('div', { class: 'bubble', dir: 'auto' }, ...formatted(text, { mentions })) : null;
}

/** Puts a message under its name, or under the one above, as if it had been made so. @param {HTMLElement} line @param {Item} item */
export function setFirst(line, { from, mine }, first) {
  if (line.classList.contains('first') === first) return;
  line.classList.toggle('first', first);
  if (mine) return;
  line.querySelector('.by')?.classList.toggle('unseen', !first);
  if (first) line.prepend(seal(from));
  else line.querySelector('.seal')?.remove();
}

/** What is left of a message that was deleted before it was read here: nobody says whose it was, and when. */
export const trace = ({ serial }) => el('li', { class: 'message trace first', 'data-serial': serial, tabindex: '-1' }, el('div', { class: 'line' }, deleted()));

/** An item that could not be shown as it should: as a text without anything that could fail again. It must not stop the others. */
export const plain = ({ serial, from = '', content = '' }) => el('li', { class: 'message first', 'data-serial': serial, tabindex: '-1' },
  el('p', { class: 'by' }, from), el('div', { class: 'line' }, el('div', { class: 'bubble', dir: 'auto' }, content)));

export const day = ({ at, serial }) => el('li', { class: 'mark day', 'data-serial': serial }, el('time', { datetime: at.toISOString().slice(0, 10) }, dayOf(at)));

export const gap = ({ serial }) => el('li', { class: 'mark gap', 'data-serial': serial }, common.gap);

export const unreadMark = ({ serial }) => el('li', { class: 'mark unread-mark', 'data-serial': serial }, common.unread_from_here);

/** @param {Item} item */
export function presence(item) {
  const line = el('li', { class: 'mark presence', 'data-serial': item.serial });
  updatePresence(line, item);
  return line;
}

/** Comings and goings as what has come of them: whoever came, left, came and left again, left and came back. Of hidden people, nothing. */
function outcomes({ people, others }) {
  const names = { entered: [], left: [], visited: [], returned: [] };
  for (const [name, { guest, came, here }] of people) if (!isHidden(name, guest)) names[came ? (here ? 'entered' : 'visited') : here ? 'returned' : 'left'].push({ name, guest });
  const more = { entered: others.came, left: others.left, visited: 0, returned: 0 };
  return Object.keys(names).map((outcome) => ({ outcome, names: names[outcome], number: names[outcome].length + more[outcome] })).filter(({ number }) => number);
}

/** Whether all who came and left are hidden. @param {Item} item */
export const isOfHiddenOnly = ({ people, others }) => !others.came && !others.left && [...people].every(([name, { guest }]) => isHidden(name, guest));

const person = ({ name, guest }) => el('span', {}, bdi(name), ...(guest ? [' ', guestMark(guest)] : []));

/** @param {HTMLElement} line @param {Item} item */
export function updatePresence(line, item) {
  line.dataset.changes = item.changes;
  const told = outcomes(item);
  if (told.reduce((sum, { number }) => sum + number, 0) > NAMES_SHOWN_MAX) {
    // A number that changes every second is not read out each time.
    line.setAttribute('aria-live', 'off');
    line.replaceChildren(told.map(({ outcome, number }) => words.numbers[outcome](count(number))).join(', '));
  } else {
    line.replaceChildren(...told.flatMap(({ outcome, names }, index) => [
      index ? ' · ' : '', ...sentence((...marks) => words[outcome](marks.join(', ')), ...names.map(person)),
    ]));
  }
}
