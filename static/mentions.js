// Mentions: `@` and a name. Which names can be mentioned in a conversation, and whether a message mentions us.

import { parse } from './markup.js';

/** People of a conversation who can be mentioned. */
const NAMES_MAX = 1000;

/** Names are compared without regard to case: the server lets no two names in that differ only in it. */
export const folded = (name) => name.normalize('NFC').toLowerCase();

/** Of scripts that write words apart: there, a name ends where its word ends. Elsewhere an ending or a title follows at once (`@영희야`). */
const SPACED = /[\p{L}\p{N}_]/u;
const UNSPACED = /[\p{Script=Hangul}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const isSpaced = (character) => SPACED.test(character) && !UNSPACED.test(character);

const lastCharacter = (text) => text.match(/.$/su)[0];
const characterAt = (text, index) => (index < text.length ? String.fromCodePoint(text.codePointAt(index)) : '');

/** @implements {import('./markup.js').Mentions} */
class Names {
  #own;
  #names = new Set();
  /** Longest first: of `@영` and `@영희`, the longer one is meant. */ #lengths;
  #beginnings = new Set();

  /** @param {Iterable<string>} others */
  constructor(own, others) {
    this.#own = folded(own);
    const lengths = new Set();
    const add = (name) => {
      if (!name || this.#names.size >= NAMES_MAX) return;
      this.#names.add(folded(name));
      this.#beginnings.add(folded(characterAt(name, 0)));
      lengths.add(name.length);
    };
    add(own);
    for (const name of others) add(name);
    this.#lengths = [...lengths].sort((a, b) => b - a);
  }

  /** The name that begins there. */
  at(text, index) {
    if (!this.#beginnings.has(folded(characterAt(text, index)))) return null;
    for (const length of this.#lengths) {
      const end = index + length;
      if (end > text.length) continue;
      const name = folded(text.slice(index, end));
      if (!this.#names.has(name) || (isSpaced(lastCharacter(name)) && isSpaced(characterAt(text, end)))) continue;
      return { length, own: name === this.#own };
    }
    return null;
  }
}

/** Of this turn: a conversation whose messages are read one after the other does not gather its names for each. */
let recent = null;

/**
 * The names that can be mentioned in a conversation: our own, those of the people in it, and of those who said something.
 * @param {import('./conversation.js').Conversation} conversation
 * @returns {import('./markup.js').Mentions}
 */
export function namesIn(conversation, ownName) {
  const gathered = () => {
    if (recent?.conversation !== conversation || recent.ownName !== ownName) {
      const { kind, name, people, items } = conversation;
      const others = new Set(kind === 'whisper' ? [name] : people.keys());
      for (const { from } of items) if (from) others.add(from);
      recent = { conversation, ownName, names: new Names(ownName, others) };
      queueMicrotask(() => { recent = null; });
    }
    return recent.names;
  };
  return { at: (text, index) => gathered().at(text, index) };
}

/** Whether a message mentions us. What it quotes, or shows as code, does not. */
export function mentionsUs(content, conversation, ownName) {
  if (!content.includes('@')) return false;
  try {
    return parse(content, namesIn(conversation, ownName)).some(({ kind, own }) => kind === 'mention' && own);
  } catch {
    return false;
  }
}

const byName = new Intl.Collator(undefined, { numeric: true }).compare;

/**
 * The others in a conversation, whoever spoke last first.
 * @param {import('./conversation.js').Conversation} conversation
 * @returns {{name: string, guest: boolean}[]}
 */
export function othersIn({ kind, name: partner, people, items }, ownName) {
  const others = new Map(kind === 'whisper' ? [[partner, false]] : [...people].sort(([a], [b]) => byName(a, b)));
  others.delete(ownName);
  const speakers = items.flatMap(({ from }) => (others.has(from) ? from : [])).reverse();
  return [...new Set([...speakers, ...others.keys()])].map((name) => ({ name, guest: others.get(name) }));
}
