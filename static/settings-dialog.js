// The dialog in which one chooses what settings.js keeps, and sees who is hidden.

import { hiddenPeople, onHidingChange, unhide } from './hiding.js';
import { choice, newElementId, showDialog, toggle } from './dialogs.js';
import { language } from './language.js';
import { settings } from './settings.js';
import { bdi, el, guestMark, seal } from './view.js';
import { words } from './words-people.js';

const SWITCHES = ['notifications', 'sound'];

/** The dialog that is open, and brings its parts up to date. @type {?{dialog: HTMLDialogElement, update: () => void}} */
let open = null;

/** The words of a page are chosen when it is loaded. What is being written is kept over a reload. */
function chooseLanguage(value) {
  const before = language;
  settings.set('language', value);
  const wanted = value === 'system' ? navigator.languages.map((tag) => tag.split('-')[0].toLowerCase()).find((tag) => tag === 'ko' || tag === 'en') ?? 'en' : value;
  if (wanted !== before) location.reload();
}

const person = (who, show) => el('li', { class: 'person' }, seal(who.name), bdi(who.name), guestMark(who.guest),
  el('button', { type: 'button', class: 'quiet', onclick: show, 'aria-label': words.unhide_label(who.name) }, words.unhide));

/** Who is hidden, each with a button that ends it. */
function hiddenPart(status) {
  const id = newElementId();
  const list = el('ul', { class: 'hidden-people', 'aria-labelledby': id });
  const note = el('p', { class: 'hint' });
  const update = () => {
    const people = hiddenPeople();
    const hadFocus = list.contains(document.activeElement);
    list.replaceChildren(...people.map((who) => person(who, () => {
      unhide(who);
      status.textContent = words.was_unhidden(who.name);
    })));
    list.hidden = !people.length;
    note.textContent = people.length ? words.hidden_people_note : words.no_hidden_people;
    if (hadFocus) (list.querySelector('button') ?? list.closest('dialog').querySelector('.done')).focus();
  };
  return { update, part: el('section', {}, el('h3', { id }, words.hidden_people), list, note) };
}

/** @param {{withPeople?: boolean}} [options]  not where nobody is: at the door, and on the dashboard */
export function openSettings({ withPeople = false } = {}) {
  if (open) return;
  const status = el('p', { class: 'unseen', role: 'status' });
  const hidden = hiddenPart(status);
  const choices = (name, labels, onchange) => choice(words[name], name, Object.entries(labels), settings.get(name), onchange);
  const dialog = showDialog([words.settings],
    el('div', { class: 'settings' },
      choices('theme', words.themes, (value) => settings.set('theme', value)),
      choices('language', words.languages, chooseLanguage),
      withPeople && el('div', { class: 'switches' }, ...SWITCHES.map((name) => toggle(words[name], name, settings.get(name), (isOn) => settings.set(name, isOn)))),
      withPeople && hidden.part, status),
    el('div', { class: 'actions' }, el('button', { type: 'button', class: 'primary done', onclick: () => dialog.close() }, words.done)));
  dialog.classList.add('settings-sheet');
  const update = () => {
    // Another tab may have chosen, or the browser may not let us do what was chosen.
    for (const input of dialog.querySelectorAll('[data-choice]')) {
      const value = settings.get(input.dataset.choice);
      input.checked = input.type === 'radio' ? input.value === value : value;
    }
  };
  hidden.update();
  open = { update: () => { update(); hidden.update(); } };
  dialog.addEventListener('close', () => { open = null; });
}

for (const name of ['theme', 'language', ...SWITCHES]) settings.onChange(name, () => open?.update());
onHidingChange(() => open?.update());
