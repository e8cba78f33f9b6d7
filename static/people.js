// What one may do about other people: call and whisper to them, hide and show them again, close whispers; and what hiding changes
// in the house.

import { announce } from './notices.js';
import { offer } from './actions.js';
import { draft, setDraft } from './composer.js';
import { hide, hidingIsOf, isHidden, onHidingChange, unhide } from './hiding.js';
import { house } from './house.js';
import { copy } from './clipboard.js';
import { isOfHiddenOnly } from './message.js';
import { byId, focusTitle } from './view.js';
import { words } from './words-people.js';

/** @typedef {import('./hiding.js').Person} Person */

/** Whether an item is shown: it is not of hidden people alone. @param {import('./conversation.js').Item} item */
export const isShown = (item) => (item.kind === 'presence' ? !isOfHiddenOnly(item) : item.kind !== 'message' || item.mine || !isHidden(item.from, item.guest));

const isMe = ({ name }) => name === house.chat?.username;
const whispers = () => [...house.conversations.values()].filter(({ kind }) => kind === 'whisper');

/** Copies a text, and says so. @param {string} text */
export async function copyText(text) {
  announce(await copy(text) ? words.copied : words.not_copied);
}

/** Writes the name where the cursor is. @param {Person} person */
function mention({ name }) {
  const text = byId('text');
  const written = draft();
  const [before, after] = [written.slice(0, text.selectionStart), written.slice(text.selectionEnd)];
  const inserted = `${before && !/\s$/u.test(before) ? ' ' : ''}@${name} `;
  setDraft(before + inserted + after);
  text.dispatchEvent(new Event('input', { bubbles: true }));
  text.focus();
  text.setSelectionRange(before.length + inserted.length, before.length + inserted.length);
}

/** @param {Person} person */
function hidePerson(person) {
  hide(person);
  announce(words.was_hidden, { names: [person.name], action: { label: words.undo, run: () => unhidePerson(person) } });
}

/** @param {Person} person */
export function unhidePerson(person) {
  unhide(person);
  announce(words.was_unhidden, { names: [person.name] });
}

function closeWhispers() {
  if (document.activeElement === byId('close-whispers')) focusTitle(); // the button goes, too
  announce(words.whispers_closed(house.closeWhispers()));
  house.changed();
}

function aboutPerson(person) {
  if (isMe(person)) return [];
  const isHere = house.active?.kind === 'whisper' && house.active.name === person.name;
  return [
    house.active?.kind === 'room' && house.active.standing !== 'out' && { name: 'mention', label: words.mention, run: () => mention(person) },
    !isHere && { name: 'whisper', label: words.whisper, run: () => house.whisperTo(person.name, person.guest) },
    isHidden(person.name, person.guest)
      ? { name: 'unhide', label: words.unhide, section: 'hide', run: () => unhidePerson(person) }
      : { name: 'hide', label: words.hide, section: 'hide', run: () => hidePerson(person) },
  ];
}

/** What hiding has changed: whispers of hidden people are closed, and their messages are not unread. */
function hidingChanged() {
  for (const conversation of whispers()) if (isHidden(conversation.name, conversation.guest)) house.forget(conversation);
  for (const conversation of house.conversations.values()) {
    if (!conversation.unread) continue;
    const unread = house.saidByOthers(conversation).filter(({ serial }) => serial >= conversation.unreadFrom);
    conversation.unread = Math.min(conversation.unread, unread.length);
    conversation.mentioned = unread.filter((item) => item.mentionsUs).length;
  }
  house.tell('hiding');
  house.changed();
}

export function setUpPeople() {
  offer('message', (item) => [item.content && { name: 'copy', label: words.copy_text, run: () => copyText(item.content) }]);
  offer('person', aboutPerson);
  offer('place', (conversation) => (conversation.kind === 'whisper' ? aboutPerson(conversation) : []));
  offer('place', ({ kind }) => [kind === 'whisper' && whispers().length > 1 && { name: 'close-whispers', label: words.close_whispers, section: 'hide', run: closeWhispers }]);
  byId('close-whispers').addEventListener('click', closeWhispers);
  onHidingChange(hidingChanged);
  house.on('welcomed', () => hidingIsOf({ name: house.chat.username, guest: !house.me.session }));
}
