// What the text of a message is made of: code, quotes, web addresses, names that are called. Text in, tokens out; no DOM, no HTML.
// The texts of the tokens, one after the other, are the message: nothing is lost, whatever the marks. Each step reads a text once, or a
// bounded number of times, so that no message takes long.

/** A message has this many marked parts; what follows is shown as it was written. */
export const MARKS_MAX = 500;
/** In a message this many `@` are looked at: each takes a look at names of every length. */
const LOOKS_MAX = 100;
/** A quote in a quote in a quote is marked; deeper ones are shown as they were written. */
const QUOTE_DEPTH_MAX = 3;

/**
 * @typedef {object} Token
 * @property {'text'|'link'|'mention'|'code'|'block'|'quote'} kind
 * @property {string} text           as it was written, with its marks and, of a block or a quote, with its last line break
 * @property {string} [href]         of a link
 * @property {boolean} [own]         a mention of the reader
 * @property {string} [code]         of `code` and of a block: what stands between the marks
 * @property {string} [language]     of a block, empty when none is named
 * @property {Token[]} [content]     of a quote: the tokens of what stands behind the `> ` of its lines
 */

/** @typedef {{at: (text: string, index: number) => ?{length: number, own: boolean}}} Mentions  which name is called at an `@`, if any */

const FENCE = /^ {0,3}(`{3,})([\w+#.-]{0,32})[^\S\n]*\n$/u;
const ADDRESS = /(?:https?:\/\/|www\.)[^\s<>"'`\u3000-\u303f]+/giu;
/** Hangul right behind a host or its port is a particle of the sentence: no top-level domain is of both scripts. */
const HOST_BEFORE_PARTICLE = /^(?:https?:\/\/)?(?:localhost|[^/?#]*?[.:](?:[a-z]{2,63}|\d{1,5}))(?=\p{Script=Hangul}(?![^/?#]*\.[a-z\d]))/iu;
const CLOSING = /[.,;:!?…)\]}]/u;
/** Before `www.` and `@`, these make it a part of something else: of a word, an e-mail address, a path. */
const PART_OF_WORD = /[\p{L}\p{N}_.%+/@-]/u;
/** Hangul stands before a name as after it without a space. */
const PART_OF_MAIL = /[A-Za-z0-9_.%+-]/u;

/**
 * @param {string} content
 * @param {Mentions} [mentions]
 * @returns {Token[]}
 */
export function parse(content, mentions) {
  return new Parser(mentions).blocks(content, 0);
}

class Parser {
  #mentions;
  #marks = 0;
  #looks = 0;

  constructor(mentions) {
    this.#mentions = mentions;
  }

  /** @returns {Token[]} */
  blocks(content, depth) {
    const lines = content.match(/[^\n]*\n|[^\n]+$/gu) ?? [];
    const tokens = [];
    let text = '';
    let unclosed = Infinity; // no fence of this length or longer is closed further down
    const add = (token) => {
      tokens.push(...this.#spans(text), token);
      text = '';
      this.#marks += 1;
    };
    for (let from = 0, end; from < lines.length; from = end) {
      end = from + 1;
      const fence = this.#marks < MARKS_MAX ? FENCE.exec(lines[from]) : null;
      if (fence && fence[1].length < unclosed) {
        const closing = closingFence(lines, end, fence[1].length);
        if (closing < 0) unclosed = fence[1].length;
        const code = closing < 0 ? '' : codeOf(lines, end, closing);
        if (code.trim()) {
          end = closing + 1;
          add({ kind: 'block', text: lines.slice(from, end).join(''), code, language: fence[2] });
          continue;
        }
      } else if (lines[from].startsWith('> ') && depth < QUOTE_DEPTH_MAX && this.#marks < MARKS_MAX) {
        while (end < lines.length && (lines[end].startsWith('> ') || lines[end].trimEnd() === '>')) end += 1;
        const quoted = lines.slice(from, end);
        const token = { kind: 'quote', text: quoted.join(''), content: [] };
        add(token);
        token.content = this.blocks(quoted.map(withoutMark).join(''), depth + 1);
        continue;
      }
      text += lines[from];
    }
    tokens.push(...this.#spans(text));
    return tokens;
  }

  /** Code within a line, and what stands around it. */
  #spans(text) {
    const tokens = [];
    let plain = '';
    for (const line of text.match(/[^\n]*\n|[^\n]+$/gu) ?? []) {
      const runs = [...line.matchAll(/`+/gu)];
      const partners = partnersOf(runs);
      let end = 0;
      for (let index = 0; index < runs.length && this.#marks < MARKS_MAX; index += 1) {
        const partner = runs[partners[index]];
        if (!partner) continue;
        const [marks] = runs[index];
        const inner = line.slice(runs[index].index + marks.length, partner.index);
        if (!inner.trim()) continue;
        tokens.push(...this.#words(plain + line.slice(end, runs[index].index)), { kind: 'code', text: marks + inner + marks, code: unpadded(inner) });
        this.#marks += 1;
        plain = '';
        end = partner.index + marks.length;
        index = partners[index];
      }
      plain += line.slice(end);
    }
    tokens.push(...this.#words(plain));
    return tokens;
  }

  /** Web addresses, and what stands around them. */
  #words(text) {
    const tokens = [];
    let end = 0;
    for (const match of text.matchAll(ADDRESS)) {
      if (this.#marks >= MARKS_MAX) break;
      const address = trimAddress(match[0]);
      const href = hrefOf(address, text[match.index - 1]);
      if (!href) continue;
      tokens.push(...this.#called(text.slice(end, match.index)), { kind: 'link', text: address, href });
      this.#marks += 1;
      end = match.index + address.length;
    }
    tokens.push(...this.#called(text.slice(end)));
    return tokens;
  }

  /** Names that are called, and what stands around them. */
  #called(text) {
    const tokens = [];
    let end = 0;
    for (let at = text.indexOf('@'); at >= 0 && this.#mentions && this.#marks < MARKS_MAX; at = text.indexOf('@', at + 1)) {
      if (at < end || PART_OF_MAIL.test(text[at - 1] ?? ' ')) continue;
      this.#looks += 1;
      if (this.#looks > LOOKS_MAX) break;
      const name = this.#mentions.at(text, at + 1);
      if (!name) continue;
      if (at > end) tokens.push({ kind: 'text', text: text.slice(end, at) });
      end = at + 1 + name.length;
      tokens.push({ kind: 'mention', text: text.slice(at, end), own: name.own });
      this.#marks += 1;
    }
    if (end < text.length) tokens.push({ kind: 'text', text: text.slice(end) });
    return tokens;
  }
}

/** How many backticks end a line. */
function backticksAtEnd(line) {
  const end = line.trimEnd().length;
  let from = end;
  while (line[from - 1] === '`') from -= 1;
  return end - from;
}

/** The fence that closes a block may end its last line, too. */
function closingFence(lines, from, length) {
  for (let index = from; index < lines.length; index += 1) {
    if (backticksAtEnd(lines[index]) >= length) return index;
  }
  return -1;
}

function codeOf(lines, from, closing) {
  const last = lines[closing].trimEnd().slice(0, -backticksAtEnd(lines[closing]));
  const code = lines.slice(from, closing).join('') + (last.trim() ? last : '');
  return code.endsWith('\n') ? code.slice(0, -1) : code;
}

const withoutMark = (line) => line.slice(line.startsWith('> ') ? 2 : 1);

/** Which later run of as many backticks closes each. */
function partnersOf(runs) {
  const next = new Map();
  const partners = [];
  for (let index = runs.length - 1; index >= 0; index -= 1) {
    const { length } = runs[index][0];
    partners[index] = next.get(length);
    next.set(length, index);
  }
  return partners;
}

/** A space on both sides is there to keep a backtick of the code from the marks. */
const unpadded = (code) => (/^ .* $/u.test(code) ? code.slice(1, -1) : code);

/** A bracket or a full stop after an address belongs to the sentence, unless the bracket was opened within. */
function trimAddress(address) {
  const host = HOST_BEFORE_PARTICLE.exec(address);
  if (host) return host[0];
  let open = address.split('(').length - address.split(')').length;
  let end = address.length;
  while (CLOSING.test(address[end - 1])) {
    if (address[end - 1] === ')') {
      if (open >= 0) break;
      open += 1;
    }
    end -= 1;
  }
  return address.slice(0, end);
}

/** @returns {?string}  null when it is no address after all */
function hrefOf(address, before) {
  const isBare = /^www\./iu.test(address);
  if (isBare && (!/^www\.[^./?#:]+\.[^./?#:]/iu.test(address) || (before && PART_OF_WORD.test(before)))) return null;
  const href = isBare ? `https://${address}` : address;
  try {
    return new URL(href) && href;
  } catch {
    return null;
  }
}
