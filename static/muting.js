// Rooms that are muted: their messages make no noise and no number. Kept in this browser, shared by its tabs.

import { onStored, recall, remember } from './storage.js';

const STORED = 'sarang.muted';
/** Muted rooms that are remembered; of more than these, the one that was muted first makes itself heard again. */
export const MUTED_ROOMS_MAX = 200;

const read = () => {
  const stored = recall('localStorage', STORED);
  return new Set(Array.isArray(stored) ? stored.filter((name) => typeof name === 'string').slice(-MUTED_ROOMS_MAX) : []);
};

let muted = read();
/** @type {Set<() => void>} */ const listeners = new Set();

function take(rooms) {
  muted = rooms;
  for (const listener of listeners) listener();
}

onStored(STORED, () => take(read()));

/** @param {import('./conversation.js').Conversation} conversation */
export const isMuted = ({ kind, name }) => kind === 'room' && muted.has(name);

/** @param {string} room */
export function setMuted(room, isOn) {
  const rooms = new Set([...muted].filter((name) => name !== room));
  if (isOn) rooms.add(room);
  const kept = [...rooms].slice(-MUTED_ROOMS_MAX);
  remember('localStorage', STORED, kept);
  take(new Set(kept));
}

/** Calls `listener` after each change, whichever tab made it. @param {() => void} listener */
export const onMutingChange = (listener) => listeners.add(listener);
