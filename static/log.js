// One conversation as it is read: the messages, and below them our own that are still on their way.
// message.js makes what stands in it, own-messages.js those; clamp.js keeps long messages short, earlier.js gets what was said before.

import { timeOf, words as common } from './words.js';
import { words } from './words-log.js';
import { announceProblem } from './notices.js';
import { byId, el, setText } from './view.js';
import { EARLIER_MAX, MESSAGES_MAX, TRIM_BATCH, leaveEarlier, prepend, trim } from './conversation.js';
import { day, gap, message, plain, presence, sameDay, setFirst, sharesMinute, together, trace, unreadMark, updatePresence } from './message.js';
import { Clamp, isLong } from './clamp.js';
import { withoutBlankLines } from './text.js';
import { Earlier } from './earlier.js';
import { showOutgoing } from './own-messages.js';
import { copy } from './clipboard.js';
import { linkTo } from './permalink.js';

/** Whoever comes back so near to the end is at the end, but whoever leaves it has left. */
const BOTTOM_SLACK_PX = 48;
const AT_END_PX = 2;
/** Nearer than this to the top, earlier messages are loaded. */
const EARLIER_FROM_PX = 600;
/** Above what is jumped to, so much of what comes before is shown. */
const JUMP_MARGIN_PX = 24;
/** Messages that are too many are let go at the latest after this time. */
const IDLE_MS = 1_000;
/** A line about people who come and go is not written anew more often. */
const PRESENCE_EVERY_MS = 1_000;
/** How long a message that a link led to is marked, and a copied link is confirmed. */
const MARKED_MS = 4_000;
const COPIED_MS = 2_000;

/** @typedef {import('./conversation.js').Item} Item */
/** @typedef {import('./conversation.js').Conversation} Conversation */

/**
 * @typedef {object} Place  Where somebody is reading. It outlives the page.
 * @property {string} [position]  of the topmost message that is seen @property {number} at  when it was said
 * @property {number} offset      of its top to that of the log, in pixels
 */

export class Log {
  #place = byId('log-place');
  #newer = byId('newer');
  #newerText = byId('newer-text');
  /** @type {?Conversation} */ #conversation = null;
  #actions;
  #log; #past; #list; #outgoing;
  /** @type {?Earlier} */ #earlier = null;
  #clamp = new Clamp({ log: () => this.#log, changed: (isAsked) => this.#resized(isAsked) });
  /** serial of an item → what shows it @type {Map<number, HTMLElement>} */ #lines = new Map();
  #last = 0; // serial of the newest item that is shown
  #marked = null; // serial of the item that is marked as the first unread one
  #height = 0; // of the place, when it was measured last
  #top = 0; // where it is scrolled to, as far as is known
  #below = 0; // messages that arrived below what is seen
  #presenceTimer; #presenceAt = 0; #idleTimer;
  /** By the link that says it was copied. */ #copiedTimers = new WeakMap();
  /** What is read: the element at the top of what is seen, and how far from it. @type {?{line: HTMLElement, top: number}} */ #anchor = null;
  /** A message to go to once its room is shown. @type {?{room: string, position: string}} */ #target = null;
  /** The reader is at the end and wants to stay there. */
  atEnd = true;

  /** The end is what is read, and not the way to an earlier message. */
  get showsEnd() {
    return this.atEnd && !this.#earlier?.isSearching;
  }

  /**
   * @param {object} actions
   * @param {(message) => void} actions.retry @param {(message) => void} actions.discard   of our own, that failed
   * @param {() => void} actions.reachedEnd
   * @param {(conversation: Conversation, page: {before?: string, limit: number}) => Promise<{items: object[], more: boolean}>} actions.history
   * @param {(item: Item) => boolean} actions.isShown
   * @param {(item: Item) => Node} actions.menuOf   the button of its menu
   * @param {() => import('./markup.js').Mentions} actions.names   who can be mentioned in what is shown
   */
  constructor(actions) {
    this.#actions = actions;
    this.#newer.addEventListener('click', () => { this.toEnd(); this.#log.focus({ preventScroll: true }); });
    new ResizeObserver(() => {
      this.#height = this.#place.clientHeight;
      this.#resized();
    }).observe(this.#place);
  }

  /**
   * Shows another conversation, or none. A new element takes the old one's place, so that its past is not read out.
   * @param {?Conversation} conversation @param {?Place} [place]  where to go on reading: at what is new or the end without one
   */
  show(conversation, place = null) {
    if (this.#conversation && this.#conversation !== conversation) leaveEarlier(this.#conversation);
    for (const line of this.#lines.values()) this.#clamp.remove(line);
    this.#lines.clear();
    for (const timer of [this.#presenceTimer, this.#idleTimer]) clearTimeout(timer);
    this.atEnd = true;
    [this.#conversation, this.#earlier, this.#anchor, this.#presenceTimer, this.#idleTimer] = [conversation, null, null, undefined, undefined];
    this.#place.replaceChildren();
    this.#newer.hidden = true;
    if (!conversation) return;
    this.#build();
    [this.#last, this.#below] = [-Infinity, 0];
    this.#marked = conversation.unreadFrom;
    this.#fill();
    this.#place.append(this.#log);
    this.#height = this.#place.clientHeight;
    const mark = this.#log.querySelector('.unread-mark');
    if (mark) this.#scrollTo(mark, JUMP_MARGIN_PX);
    else this.toEnd();
    this.#scrolled();
    if (place) this.#goBackTo(place);
    this.#seek();
  }

  #build() {
    const conversation = this.#conversation;
    // What was said before is not read out as if it were new.
    this.#past = el('ol', { class: 'messages past', 'aria-live': 'off' });
    this.#list = el('ol', { class: 'messages' });
    this.#outgoing = el('ol', { class: 'messages outgoing', 'aria-live': 'off' });
    this.#earlier = new Earlier(conversation, {
      history: this.#actions.history,
      add: (items) => this.#add(conversation, items),
      lost: () => this.#log.focus({ preventScroll: true }),
    });
    this.#log = el('div', { class: 'log', role: 'log', 'aria-live': 'polite', tabindex: '0', 'aria-label': common.log(conversation.name) },
      el('div', { class: 'log-inner' }, this.#earlier.element, this.#past, this.#list, this.#outgoing));
    this.#log.addEventListener('scroll', () => this.#scrolled(true), { passive: true });
    this.#log.addEventListener('click', (event) => this.#clicked(event));
  }

  /** Brings what is shown up to date with the conversation. @param {boolean} [isIdle]  nothing is in a hurry */
  sync(isIdle = false) {
    if (!this.#conversation || document.visibilityState === 'hidden') return;
    this.#bound();
    trim(this.#conversation, isIdle ? 0 : TRIM_BATCH);
    if (this.#conversation.messages > this.#conversation.messagesMax) this.#idleTimer ??= setTimeout(() => { this.#idleTimer = undefined; this.sync(true); }, IDLE_MS);
    this.#keepPlace(() => {
      this.#trim();
      const arrived = this.#fill();
      if (!this.atEnd) this.#below += arrived;
      this.#earlier.show();
    });
    this.#offer();
    this.#seek();
  }

  /** Which items are to be shown has changed. */
  filter() {
    if (!this.#conversation) return;
    const hadFocus = this.#log.contains(document.activeElement);
    this.show(this.#conversation, this.place);
    if (hadFocus) this.focus();
  }

  /** Shows a message as it is now, where it stands. @param {Item} item */
  replace(item) {
    const line = this.#lines.get(item.serial);
    if (!line) return;
    const fresh = this.#line(item, line.classList.contains('first'));
    fresh.classList.toggle('same-minute', line.classList.contains('same-minute'));
    const hadFocus = line.contains(document.activeElement);
    this.#keepPlace(() => {
      this.#clamp.remove(line);
      line.replaceWith(fresh);
    });
    if (hadFocus) fresh.focus({ preventScroll: true });
  }

  toEnd() {
    if (!this.#log) return;
    const wasAtEnd = this.atEnd;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#top = this.#log.scrollTop;
    [this.atEnd, this.#anchor, this.#below] = [true, null, 0];
    this.#offer();
    if (!wasAtEnd) this.#actions.reachedEnd();
  }

  focus() {
    this.#log?.focus({ preventScroll: true });
  }

  /** What was marked as new has been answered. */
  clearMark() {
    this.#marked = null;
    this.#log?.querySelector('.unread-mark')?.remove();
  }

  // Which messages there are

  /** How many are kept depends on where one reads: who has left the end does not lose what they read to what comes in. */
  #bound() {
    this.#conversation.messagesMax = !this.atEnd || this.#earlier.isSearching ? MESSAGES_MAX + EARLIER_MAX : MESSAGES_MAX;
  }

  /** Takes away what the conversation no longer keeps. */
  #trim() {
    const { items } = this.#conversation;
    const oldest = items[0]?.serial ?? Infinity;
    let gone = false;
    for (const list of [this.#past, this.#list]) {
      while (list.firstElementChild && Number(list.firstElementChild.dataset.serial) < oldest) {
        this.#forget(list.firstElementChild);
        gone = true;
      }
    }
    if (gone) this.#head(0);
  }

  #forget(line) {
    const serial = Number(line.dataset.serial);
    if (this.#lines.get(serial) === line) this.#lines.delete(serial);
    if (line.contains(document.activeElement)) this.#log.focus({ preventScroll: true });
    this.#clamp.remove(line);
    line.remove();
  }

  /** Earlier messages come above all others. */
  #add(conversation, earlier) {
    if (!earlier.length) return;
    if (conversation === this.#conversation) this.#bound();
    const items = prepend(conversation, earlier);
    if (conversation !== this.#conversation) return leaveEarlier(conversation);
    this.#keepPlace(() => {
      const lines = document.createDocumentFragment();
      for (let index = 0; index < items.length; index += 1) lines.append(...this.#nodes(index));
      this.#past.prepend(lines);
      this.#head(items.length);
    });
  }

  /** What the line of an item, and the one above it, look like depends on what stands above: that has changed. */
  #head(from) {
    const { items } = this.#conversation;
    let index = from;
    while (index < items.length && items[index].kind !== 'message') index += 1;
    const line = this.#lines.get(items[index]?.serial);
    if (!line) return;
    const item = items[index];
    const before = this.#before(index);
    setFirst(line, item, !together(before, item));
    this.#shareMinute(before, item);
    const above = line.previousElementSibling ?? (line.parentElement === this.#list ? this.#past.lastElementChild : null);
    const hasDay = above?.classList.contains('day') && above.dataset.serial === line.dataset.serial;
    const isNewDay = this.#startsDay(index);
    if (hasDay && !isNewDay) above.remove();
    if (hasDay || !isNewDay) return;
    // At the end of the list that is not read out: it is no news.
    if (line === this.#list.firstElementChild) this.#past.append(day(item));
    else line.before(day(item));
  }

  /** Appends what is not shown yet; says how many messages of others these were. */
  #fill() {
    const { items } = this.#conversation;
    let arrived = 0;
    let index = items.length;
    while (index > 0 && items[index - 1].serial > this.#last) index -= 1;
    if (index < items.length) {
      this.#refreshPresence(items[index - 1], true);
      const lines = document.createDocumentFragment();
      for (; index < items.length; index += 1) {
        const item = items[index];
        lines.append(...this.#nodes(index));
        if (item.kind === 'message' && !item.mine && this.#actions.isShown(item)) arrived += 1;
        this.#last = item.serial;
      }
      this.#list.append(lines);
    }
    this.#refreshPresence(items.at(-1));
    showOutgoing(this.#outgoing, this.#conversation, this.#clamp, this.#actions);
    return arrived;
  }

  /** What shows an item, with the day or the mark above it. */
  #nodes(index) {
    const item = this.#conversation.items[index];
    if (!this.#actions.isShown(item)) return [];
    const nodes = item.serial === this.#marked ? [unreadMark(item)] : [];
    try {
      const before = this.#before(index);
      if (item.kind === 'message' && this.#startsDay(index)) nodes.push(day(item));
      nodes.push(this.#line(item, !together(before, item)));
      this.#shareMinute(before, item);
    } catch (error) {
      console.error(error);
      const line = plain(item);
      this.#lines.set(item.serial, line);
      nodes.push(line);
    }
    return nodes;
  }

  #line(item, first) {
    const make = { deleted: trace, gap, presence }[item.kind];
    const line = make ? make(item) : message(item, {
      first, link: item.position && linkTo(this.#conversation.name, item.position), mentions: this.#actions.names(), menu: this.#actions.menuOf(item),
    });
    this.#lines.set(item.serial, line);
    if (item.kind === 'message' && isLong(withoutBlankLines(item.content))) this.#clamp.add(line, `message-${item.serial}`);
    return line;
  }

  #shareMinute(before, item) {
    const line = before && this.#lines.get(before.serial);
    line?.classList.toggle('same-minute', sharesMinute(before, item));
  }

  /** The item that is shown above. @returns {Item|undefined} */
  #before(index) {
    const { items } = this.#conversation;
    let at = index - 1;
    while (at >= 0 && !this.#actions.isShown(items[at])) at -= 1;
    return items[at];
  }

  #startsDay(index) {
    const { items } = this.#conversation;
    let at = index - 1;
    while (at >= 0 && (items[at].kind !== 'message' || !this.#actions.isShown(items[at]))) at -= 1;
    return at < 0 || !sameDay(items[at].at, items[index].at);
  }

  /** Who came and left is told at once, but not more often than it can be read: at the latest when something follows. */
  #refreshPresence(item, isOver = false) {
    if (item?.kind !== 'presence') return;
    const line = this.#lines.get(item.serial);
    // The first of them who is not hidden has come only now.
    if (!line && item.serial <= this.#last && this.#actions.isShown(item)) this.#list.append(this.#line(item));
    if (!line || line.dataset.changes === String(item.changes)) return;
    const wait = this.#presenceAt + PRESENCE_EVERY_MS - performance.now();
    if (!isOver && wait > 0) {
      this.#presenceTimer ??= setTimeout(() => { this.#presenceTimer = undefined; this.sync(); }, wait);
      return;
    }
    this.#presenceAt = performance.now();
    updatePresence(line, item);
  }

  // Where it is read

  /** Where somebody reads who is not at the end. @returns {?Place} */
  get place() {
    if (!this.#conversation || this.atEnd) return null;
    const topmost = Number(this.#topmost()?.line.dataset.serial);
    const item = this.#conversation.items.find(({ kind, serial }) => kind === 'message' && serial >= topmost && this.#lines.has(serial));
    if (!item) return null;
    const offset = this.#lines.get(item.serial).getBoundingClientRect().top - this.#log.getBoundingClientRect().top;
    return { position: item.position, at: item.at.getTime(), offset };
  }

  /** Loads what is needed. What is not kept any more, the place of the next one takes. */
  async #goBackTo({ position, at, offset }) {
    const conversation = this.#conversation;
    const earlier = this.#earlier;
    const found = () => (position ? conversation.byPosition.get(position) : conversation.items.find((item) => item.at >= at));
    const isThere = () => earlier !== this.#earlier || found() || conversation.items.some((item) => item.at < at);
    if (!isThere()) await earlier.loadUntil(isThere);
    if (earlier !== this.#earlier) return; // something else is shown
    const item = found() ?? conversation.items.find((other) => other.at >= at);
    const line = item && this.#lines.get(item.serial);
    if (!line) return;
    this.#scrollTo(line, offset);
    if (this.atEnd) return;
    this.#below = conversation.unread; // as when one went away from here
    this.#offer();
  }

  #scrollTo(line, offset) {
    this.#log.scrollTop += line.getBoundingClientRect().top - this.#log.getBoundingClientRect().top - offset;
    this.#scrolled();
  }

  #scrolled(isByHand = false) {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    if (this.atEnd && clientHeight !== this.#height) return; // a keyboard came or went: the observer keeps the end
    const wasAtEnd = this.atEnd;
    const above = scrollHeight - scrollTop - clientHeight;
    // Also a small step up is meant, and would be undone by the next message. What comes in below is no step up.
    const isStepUp = scrollTop < this.#top - AT_END_PX && above >= AT_END_PX;
    this.atEnd = !isStepUp && (wasAtEnd || above < BOTTOM_SLACK_PX);
    this.#top = scrollTop;
    this.#bound();
    if (this.atEnd) this.#below = 0;
    if (this.atEnd && !wasAtEnd) this.#actions.reachedEnd();
    this.#anchor = this.atEnd ? null : this.#topmost();
    this.#offer();
    if (isByHand && !this.atEnd && scrollTop < EARLIER_FROM_PX) this.#earlier.near();
  }

  /** The topmost line of those that are seen. */
  #topmost() {
    const edge = this.#log.getBoundingClientRect().top;
    for (const list of [this.#past, this.#list, this.#outgoing]) {
      const { children } = list;
      let [low, high] = [0, children.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (children[middle].getBoundingClientRect().bottom > edge) high = middle;
        else low = middle + 1;
      }
      if (children[low]?.classList.contains('day')) low += 1; // it may not stay there when earlier messages come
      if (low < children.length) return { line: children[low], top: children[low].getBoundingClientRect().top - edge };
    }
    return null;
  }

  /** What is read does not move while something changes: the end stays in sight, or what is at the top. */
  #keepPlace(change) {
    if (this.atEnd && this.#log.scrollTop < this.#top - AT_END_PX) this.#scrolled(true); // its event is still to come
    if (!this.atEnd) this.#anchor = this.#topmost();
    change();
    if (this.atEnd) this.toEnd();
    else this.#toAnchor();
  }

  #toAnchor() {
    const { line, top } = this.#anchor ?? {};
    if (!line?.isConnected) return;
    const moved = line.getBoundingClientRect().top - this.#log.getBoundingClientRect().top - top;
    if (moved) this.#log.scrollTop += moved;
  }

  /** Something became higher or lower: the window, or long messages. @param {boolean} [isAsked]  by someone who sees to their place */
  #resized(isAsked = false) {
    if (!this.#log) return;
    if (isAsked) {
      this.atEnd = false;
      this.#scrolled();
    } else if (this.atEnd) this.toEnd();
    else this.#toAnchor();
  }

  #offer() {
    const hadFocus = document.activeElement === this.#newer;
    if (this.#newer.hidden !== this.atEnd) this.#newer.hidden = this.atEnd;
    setText(this.#newerText, this.#below ? common.new_messages(this.#below) : common.to_latest);
    this.#newer.classList.toggle('has-new', this.#below > 0);
    if (hadFocus && this.atEnd) this.#log.focus({ preventScroll: true });
  }

  // Links to messages

  /** Goes to a message, once its room is shown, and marks it. @param {string} room @param {string} position */
  openAt(room, position) {
    this.#target = { room, position };
    this.#seek();
  }

  async #seek() {
    const conversation = this.#conversation;
    const { room, position } = this.#target ?? {};
    if (!position || conversation?.kind !== 'room' || conversation.name !== room || conversation.standing !== 'in') return;
    this.#target = null;
    const earlier = this.#earlier;
    const outcome = await earlier.loadUntil(() => earlier !== this.#earlier || conversation.byPosition.has(position));
    if (earlier !== this.#earlier) return; // something else is shown
    if (outcome !== 'found') return announceProblem(words[{ none: 'link_gone', full: 'link_too_far', failed: 'link_failed' }[outcome]]);
    const item = conversation.byPosition.get(position);
    if (item.gone || item.kind === 'deleted') announceProblem(words.link_deleted);
    const line = this.#lines.get(item.serial);
    if (!line) return;
    this.#scrollTo(line, Math.max(JUMP_MARGIN_PX, (this.#log.clientHeight - line.offsetHeight) / 2));
    this.atEnd = false; // whoever came for this message does not want to be taken from it by others
    this.#scrolled();
    line.focus({ preventScroll: true });
    line.classList.add('is-target');
    setTimeout(() => line.classList.remove('is-target'), MARKED_MS);
  }

  /** @param {Item} item  whose link is wanted on the clipboard */
  async copyLink(item) {
    const link = this.#lines.get(item.serial)?.querySelector('.time a');
    if (!link || !await copy(link.href)) return;
    clearTimeout(this.#copiedTimers.get(link));
    setText(link, words.link_copied);
    this.#copiedTimers.set(link, setTimeout(() => setText(link, timeOf(item.at)), COPIED_MS));
  }

  /** The time of a message is its link, to be opened elsewhere or copied by whatever the browser offers; a click copies it. */
  #clicked(event) {
    const link = event.target.closest('.time a');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const serial = Number(link.closest('.message').dataset.serial);
    this.copyLink(this.#conversation.items.find((item) => item.serial === serial));
  }
}
