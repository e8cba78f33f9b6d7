// A part of sarang.js: names, texts and ids as the server takes them.

/** As UTF-8 can have it: without lone surrogates. (`toWellFormed` is not in every browser.) */
export function wellFormed(text) {
  if (typeof text !== 'string') throw new TypeError(`A name or a text must be a string, not ${text === null ? 'null' : typeof text}`);
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

/** The server's names are in normalization form C. */
export const nameOf = (text) => wellFormed(text).normalize();

/** An id, or a guest's key, that nobody guesses. `crypto.randomUUID` exists in secure contexts only; a page on plain http needs ids as well. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
