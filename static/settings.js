// What a person has chosen for this browser: kept in localStorage, shared by its tabs, and in memory where storage is forbidden.
// theme.js reads the same entry before this module has been loaded.

import { onStored, recall, remember } from './storage.js';

/** The entry of localStorage, and the event on `window` that tells of a change made in this tab. */
const STORED = 'sarang.settings';

/** Each setting with its values; the first one is the default. */
const VALUES = {
  theme: ['system', 'light', 'dark'],
  language: ['system', 'ko', 'en'],
  notifications: [false, true],
  sound: [false, true],
};

/** @typedef {'theme'|'language'|'notifications'|'sound'} Setting */

/** What was stored, without what is no value of a setting (an older page, or another program, may have written it). */
function read() {
  const stored = recall('localStorage', STORED);
  return Object.fromEntries(Object.entries(VALUES).map(([name, values]) => [name, values.includes(stored?.[name]) ? stored[name] : values[0]]));
}

let current = read();
/** @type {Map<Setting, Set<(value) => void>>} */ const listeners = new Map();

/** Takes new values over, and tells those who listen which ones have changed. */
function take(next) {
  const changed = Object.keys(VALUES).filter((name) => next[name] !== current[name]);
  current = next;
  if (changed.length) dispatchEvent(new CustomEvent(STORED, { detail: { ...current } }));
  for (const name of changed) for (const listener of listeners.get(name) ?? []) listener(current[name]);
}

onStored(STORED, () => take(read()));

export const settings = {
  /** @param {Setting} name */
  get: (name) => current[name],

  /** @param {Setting} name  @param value  one of its values; anything else is ignored */
  set(name, value) {
    if (!VALUES[name]?.includes(value)) return;
    // Another tab may have changed other settings since, and its event may still be on its way.
    const stored = recall('localStorage', STORED);
    const next = { ...(stored ? read() : current), [name]: value };
    remember('localStorage', STORED, next);
    take(next);
  },

  /**
   * Calls `listener` with the new value after each change, whichever tab made it.
   * @param {Setting} name  @param {(value) => void} listener
   */
  onChange(name, listener) {
    if (!listeners.has(name)) listeners.set(name, new Set());
    listeners.get(name).add(listener);
  },
};
