// What is remembered between visits. Storage may be forbidden or full: nothing here throws.

/** @param {'localStorage'|'sessionStorage'} storage  @returns what was remembered under `key`; null if nothing was, or it cannot be read */
export function recall(storage, key) {
  try { return JSON.parse(window[storage].getItem(key)); } catch { return null; }
}

/** @param {'localStorage'|'sessionStorage'} storage  @param value  null forgets */
export function remember(storage, key, value) {
  try {
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, JSON.stringify(value));
  } catch { /* then it is asked for again */ }
}

/** Calls `listener` after another tab has changed what is kept in localStorage under `key`, or cleared all of it. */
export function onStored(key, listener) {
  addEventListener('storage', ({ key: changed }) => (changed === key || changed === null) && listener());
}
