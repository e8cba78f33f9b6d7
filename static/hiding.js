// The people whose words one does not want to see: who they are, for whoever is here now. Kept in this browser, apart for each
// name that comes in here, and shared by its tabs.

import { onStored, recall, remember } from './storage.js';

const STORED = 'sarang.hidden';
/** People hidden by one person; of more than these, the one who was hidden first is shown again, guests before accounts. */
export const HIDDEN_PEOPLE_MAX = 200;
/** Names of this browser whose lists are kept; the list that was used last stays. */
const OWNERS_MAX = 10;

/** @typedef {{name: string, guest: boolean}} Person   a guest of a name is not the account of that name */

const keyOf = ({ name, guest }) => `${guest ? 'guest' : 'account'} ${name}`;

/** @type {?string} */ let owner = null;
/** key → Person, in the order in which they were hidden */ let hidden = new Map();
/** @type {Set<() => void>} */ const listeners = new Set();

/** owner → [name, guest][], whoever was here last at the end */
function read() {
  try {
    return new Map(recall('localStorage', STORED).filter(([name, people]) => typeof name === 'string' && Array.isArray(people)));
  } catch {
    return new Map();
  }
}

function take() {
  const people = (read().get(owner) ?? []).filter((entry) => typeof entry?.[0] === 'string').slice(-HIDDEN_PEOPLE_MAX);
  hidden = new Map(people.map(([name, guest]) => [keyOf({ name, guest: Boolean(guest) }), { name, guest: Boolean(guest) }]));
}

function changed() {
  for (const listener of listeners) listener();
}

function keep() {
  const lists = read();
  lists.delete(owner);
  if (hidden.size) lists.set(owner, [...hidden.values()].map(({ name, guest }) => [name, guest]));
  remember('localStorage', STORED, [...lists].slice(-OWNERS_MAX));
  changed();
}

onStored(STORED, () => {
  if (owner === null) return;
  take();
  changed();
});

/** Whose list counts from now on. @param {Person} person */
export function hidingIsOf(person) {
  owner = keyOf(person);
  take();
  changed();
}

/** @param {string} name @param {boolean} [guest] */
export const isHidden = (name, guest = false) => hidden.has(keyOf({ name, guest }));

/** @returns {Person[]}  who was hidden last comes first */
export const hiddenPeople = () => [...hidden.values()].reverse();

/** @param {Person} person */
export function hide(person) {
  const { name, guest } = person;
  hidden.delete(keyOf(person));
  if (hidden.size >= HIDDEN_PEOPLE_MAX) {
    const [first] = [...hidden].find(([, other]) => other.guest) ?? hidden.entries().next().value;
    hidden.delete(first);
  }
  hidden.set(keyOf(person), { name, guest: Boolean(guest) });
  keep();
}

/** @param {Person} person */
export function unhide(person) {
  if (hidden.delete(keyOf(person))) keep();
}

/** Calls `listener` after each change, whichever tab made it. @param {() => void} listener */
export function onHidingChange(listener) {
  listeners.add(listener);
}
