// What may be done with a message, a person or a conversation. Whoever knows something to do offers it here; the menus show it.

import { house } from './house.js';
import { closeMenu, moreButton, onLongPress, openMenu } from './menu.js';
import { bdi, byId, guestMark } from './view.js';
import { words } from './words-people.js';

/** @typedef {import('./menu.js').Action} Action */
/** @typedef {{name: string, guest: boolean}} Person */

const EXCERPT_CHARS_MAX = 60;

/** In the order in which they were offered. */
const offered = { message: [], person: [], place: [] };

/**
 * Offers actions: for a `message` (an Item of the conversation that is shown), a `person`, or a `place` (a Conversation).
 * @param {'message'|'person'|'place'} kind  @param {(subject) => (Action|null|false)[]} actionsOf
 */
export function offer(kind, actionsOf) {
  offered[kind].push(actionsOf);
}

/** What can hurt others stands last, away from what is done every day. */
const LAST_SECTION = 'moderation';

/** @param {'message'|'person'|'place'} kind  @returns {Action[]}  by section, in the order in which each was first offered */
export function actionsOf(kind, subject) {
  const all = offered[kind].flatMap((of) => of(subject)).filter(Boolean);
  if (kind === 'message' && subject.from && !subject.mine) all.push(...actionsOf('person', { name: subject.from, guest: Boolean(subject.guest) }));
  const sectionOf = ({ section = '' }) => section;
  const sections = [...new Set(all.map(sectionOf))].sort((a, b) => (a === LAST_SECTION) - (b === LAST_SECTION));
  return sections.flatMap((section) => all.filter((action) => sectionOf(action) === section));
}

const nameWithMark = ({ name, guest }) => [bdi(name), ...(guest ? [' ', guestMark(true)] : [])];

const TITLES = {
  message: ({ from, guest, mine, content }) => [...(mine ? [words.me] : nameWithMark({ name: from, guest })), ': ', excerpt(content)],
  person: nameWithMark,
  place: ({ name, guest }) => nameWithMark({ name, guest }),
};

function excerpt(text) {
  const characters = [...text.trim().replace(/\s+/gu, ' ').slice(0, 4 * EXCERPT_CHARS_MAX)];
  return bdi(characters.length > EXCERPT_CHARS_MAX ? `${characters.slice(0, EXCERPT_CHARS_MAX).join('')}…` : characters.join(''));
}

/** @param {HTMLElement} anchor  @param {'message'|'person'|'place'} kind */
export const showActions = (anchor, kind, subject, at) => openMenu(anchor, { title: TITLES[kind](subject), actions: actionsOf(kind, subject), at });

/** The button of a person's menu. @param {Person} person */
export function personButton(person) {
  const button = moreButton(words.actions_of(person.name), { onclick: () => showActions(button, 'person', person) });
  return button;
}

/**
 * The button of a message's menu. Its label is no news of the log, so it is kept out of what a screen reader tells by itself.
 * Only one of them is reached with Tab, the others from there with the arrow keys: nobody tabs through 500 messages.
 */
export const messageButton = ({ from, mine }) => moreButton(mine ? words.actions_of_mine : words.actions_of_message(from), { tabindex: '-1', 'aria-live': 'off' });

const MESSAGE_BUTTONS = '.message .more';

/** @param {HTMLElement} button */
function messageOf(button) {
  const serial = Number(button.closest('.message')?.dataset.serial);
  return house.active?.items.find((item) => item.serial === serial && item.kind === 'message');
}

let tabStop = null;

function setTabStop(button) {
  if (button === tabStop) return;
  tabStop?.setAttribute('tabindex', '-1');
  tabStop = button;
  tabStop?.setAttribute('tabindex', '0');
}

/** The newest message's, as long as the focus is elsewhere. */
function keepTabStop() {
  if (tabStop?.isConnected && tabStop === document.activeElement) return;
  for (const list of [...byId('log-place').querySelectorAll('.messages:not(.outgoing)')].reverse()) {
    let line = list.lastElementChild;
    while (line && !line.querySelector('.more')) line = line.previousElementSibling;
    if (line) return setTabStop(line.querySelector('.more'));
  }
  setTabStop(null);
}

/** Goes from one message's button to another's. @param {KeyboardEvent} event */
function moveAmongMessages(event) {
  if (!event.target.classList.contains('more')) return;
  if (!['ArrowUp', 'ArrowDown', 'Home', 'End'].includes(event.key)) return;
  event.preventDefault();
  const buttons = [...byId('log-place').querySelectorAll(MESSAGE_BUTTONS)];
  const now = buttons.indexOf(event.target);
  const to = { ArrowUp: Math.max(0, now - 1), ArrowDown: Math.min(buttons.length - 1, now + 1), Home: 0, End: buttons.length - 1 }[event.key];
  setTabStop(buttons[to]);
  buttons[to]?.focus();
}

/** Opens the menus of what is in the log, and that of the conversation itself. */
export function setUpActions() {
  const logPlace = byId('log-place');
  logPlace.addEventListener('click', ({ target }) => {
    const button = target.closest('.more');
    const item = button && messageOf(button);
    if (!item) return;
    setTabStop(button);
    showActions(button, 'message', item);
  });
  logPlace.addEventListener('keydown', moveAmongMessages);
  onLongPress(logPlace, '.message', (element, at) => {
    const button = element.querySelector('.more');
    const item = button && messageOf(button);
    if (item) showActions(button, 'message', item, at);
  });
  onLongPress(byId('persons'), 'li', (element) => element.querySelector('.more')?.click());
  byId('place-more').addEventListener('click', () => showActions(byId('place-more'), 'place', house.active));
  house.on('change', () => {
    keepTabStop();
    byId('place-more').hidden = !house.active || !actionsOf('place', house.active).length;
  });
  house.on('show', closeMenu);
  house.on('out', closeMenu);
}
