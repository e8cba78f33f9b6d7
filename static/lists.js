// What stands at the sides of a conversation: the rooms, the whispers, the people; and the dialog that makes a room.

import { count, explain, words } from './words.js';
import { words as ofPeople } from './words-people.js';
import { isHidden } from './hiding.js';
import { showBadge, showDot } from './badges.js';
import { isMuted } from './muting.js';
import { byId, el, guestMark, icon, reconcile, seal, setText } from './view.js';

const ROOMS_SHOWN_MAX = 100;
/** So many whispers of people one has never answered stand among the others; more of them stand apart, folded. */
const STRANGERS_AMONG_OTHERS_MAX = 3;
/** A short list is looked through faster than it is searched. */
const ROOMS_WITHOUT_FILTER_MAX = 8;

const ROOM_SEATS_MAX = 1_000_000;

const byName = new Intl.Collator(undefined, { numeric: true }).compare;

export class Lists {
  #actions;

  /** @param {{show: (key) => void, enter: (room) => void, whisper: (name, guest) => void, menuOf: (person) => HTMLElement}} actions */
  constructor(actions) {
    this.#actions = actions;
  }

  /** @typedef {import('./conversation.js').Conversation} Conversation */

  /** @param {Conversation[]} conversations  @param {?Conversation} active  @param {object[]} others  rooms one is not in */
  showPlaces(conversations, active, others) {
    const joined = conversations.filter(({ kind }) => kind === 'room');
    const whispers = conversations.filter(({ kind }) => kind === 'whisper');
    const strangers = whispers.filter(({ familiar }) => !familiar);
    const apart = strangers.length > STRANGERS_AMONG_OTHERS_MAX ? strangers : [];
    byId('joined-section').hidden = !joined.length;
    byId('whispers-section').hidden = !whispers.length;
    byId('strangers-section').hidden = !apart.length;
    byId('close-whispers').hidden = whispers.length < 2;
    const show = (list, ours) => reconcile(byId(list), ours, ({ key }) => key, (conversation) => this.#place(conversation),
      (element, conversation) => this.#updatePlace(element.firstElementChild, conversation, conversation === active));
    show('joined', joined);
    show('whispers', apart.length ? whispers.filter(({ familiar }) => familiar) : whispers);
    show('strangers', [...apart].reverse()); // who whispered last comes first
    if (apart.includes(active)) byId('strangers-section').open = true;
    setText(byId('strangers-count'), apart.length ? count(apart.length) : '');
    showBadge(byId('strangers-unread'), apart.reduce((sum, { unread }) => sum + unread, 0));
    this.#showOthers(others);
  }

  #showOthers(others) {
    others.sort((a, b) => b.users - a.users || byName(a.name, b.name));
    const filter = byId('find-room');
    filter.hidden = others.length <= ROOMS_WITHOUT_FILTER_MAX && !filter.value;
    const wanted = filter.value.trim().toLowerCase();
    const found = others.filter(({ name }) => name.toLowerCase().includes(wanted));
    reconcile(byId('others'), found.slice(0, ROOMS_SHOWN_MAX), ({ name }) => name, (room) => this.#other(room), updateOther);
    const more = found.length - ROOMS_SHOWN_MAX;
    byId('no-others').hidden = more <= 0 && found.length > 0;
    setText(byId('no-others'), more > 0 ? words.more_rooms(count(more)) : wanted ? words.no_such_room : words.no_other_rooms);
  }

  #place({ key, kind, name, guest }) {
    return el('li', {}, el('button', { type: 'button', class: 'place', onclick: () => this.#actions.show(key) },
      kind === 'whisper' ? seal(name) : sign(),
      el('bdi', { class: 'place-name' }, name), guestMark(guest), el('span', { class: 'tally' }), el('span', { class: 'badge mentions', hidden: true }), el('span', { class: 'badge unread', hidden: true })));
  }

  #updatePlace(button, conversation, isActive) {
    const { kind, standing, present, unread, mentioned } = conversation;
    const muted = isMuted(conversation);
    if (isActive) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
    button.classList.toggle('has-unread', muted ? mentioned > 0 : unread > 0);
    button.classList.toggle('is-muted', muted);
    if (kind === 'room') setText(button.querySelector('.tally'), standing === 'in' ? count(present) : '–');
    showBadge(button.querySelector('.mentions'), 0, mentioned);
    (muted ? showDot : showBadge)(button.querySelector('.unread'), unread);
  }

  #other({ name }) {
    return el('li', {}, el('button', { type: 'button', class: 'place', onclick: () => this.#actions.enter(name) },
      sign(), el('bdi', { class: 'place-name' }, name), el('span', { class: 'tally' })));
  }

  /** @param {Conversation} room  @param {{name: string, guest: boolean}} me */
  showPeople({ standing, people, present }, me) {
    const isIn = standing === 'in';
    const others = [...people].map(([name, guest]) => ({ name, guest })).filter(({ name }) => name !== me.name).sort((a, b) => byName(a.name, b.name));
    const persons = isIn ? [me, ...others] : [];
    setText(byId('people-count'), isIn ? count(present) : '');
    reconcile(byId('persons'), persons, ({ name, guest }) => `${guest} ${name}`, (person) => (person === me ? ourselves(me) : this.#person(person)),
      (element, { name, guest }) => this.#updatePerson(element, isHidden(name, guest)));
    const more = present - persons.length;
    setText(byId('people-note'), !isIn ? '' : more > 0 ? words.others_more(count(more)) : persons.length === 1 ? words.alone : '');
  }

  #person({ name, guest }) {
    const label = words.whisper_to(name);
    return el('li', { class: 'person-line' }, el('button', { type: 'button', class: 'person', title: label, onclick: () => this.#actions.whisper(name, guest) },
      seal(name), el('bdi', {}, name), guestMark(guest), icon('whisper'), el('span', { class: 'unseen' }, label)), this.#actions.menuOf({ name, guest }));
  }

  #updatePerson(element, hidden) {
    if (element.classList.contains('is-hidden') === hidden) return;
    element.classList.toggle('is-hidden', hidden);
    const mark = element.querySelector('.hidden-mark');
    if (hidden) element.querySelector('.person bdi').after(el('span', { class: 'guest hidden-mark' }, ofPeople.hidden));
    else mark?.remove();
  }
}

const sign = () => el('span', { class: 'sign', 'aria-hidden': 'true' });

const ourselves = ({ name, guest }) => el('li', { class: 'person' }, seal(name), el('bdi', {}, name), guestMark(guest), el('span', { class: 'tally' }, words.me));

function updateOther(element, { users, max_users: seats }) {
  const full = users >= seats;
  element.firstElementChild.classList.toggle('is-full', full);
  setText(element.querySelector('.tally'), `${words.seats(count(users), count(seats))}${full ? ` · ${words.full}` : ''}`);
}

export class NewRoom {
  #actions;

  /** @param {{enter: (room) => void, headers: () => object}} actions  `headers`: who we are, for the REST API */
  constructor(actions) {
    this.#actions = actions;
    byId('create-form').addEventListener('submit', (event) => this.#create(event));
    byId('create-cancel').addEventListener('click', () => this.close());
    byId('join-existing').addEventListener('click', () => this.#enter());
  }

  open() {
    byId('create-form').reset();
    problem('');
    byId('create').showModal();
  }

  close() {
    byId('create').close();
  }

  async #create(event) {
    event.preventDefault();
    const name = byId('room-name').value.trim();
    const seats = Number(byId('room-limit').value);
    if (!name) return problem('bad_room_name');
    if (!Number.isInteger(seats) || seats < 1 || seats > ROOM_SEATS_MAX) return problem('bad_limit');
    problem('');
    try {
      const response = await fetch('rooms', {
        method: 'POST', headers: { 'Content-Type': 'application/json', ...this.#actions.headers() }, body: JSON.stringify({ name, max_users: seats }),
      });
      if (!response.ok) return problem((await response.json()).error?.code ?? 'other');
    } catch {
      return problem('network');
    }
    if (byId('create').open) this.#enter();
  }

  #enter() {
    const name = byId('room-name').value.trim();
    this.close();
    this.#actions.enter(name);
  }
}

function problem(code) {
  byId('create-error').textContent = code && explain(code);
  byId('join-existing').hidden = code !== 'room_exists';
}
