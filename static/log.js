// One conversation as it is read: the messages, and below them our own that are still on their way.

import { count, dayOf, explain, timeOf, words } from './words.js';
import { formatted } from './text.js';
import { bdi, byId, el, guestMark, reconcile, seal, sentence, setText } from './view.js';

/** Messages of one person within this time stand together under one name. */
const TOGETHER_MS = 5 * 60_000;
const BOTTOM_SLACK_PX = 48;
const NAMES_SHOWN_MAX = 4;

/** @typedef {import('./conversation.js').Item} Item */

const sameDay = (a, b) => a.toDateString() === b.toDateString();
const sameMinute = (a, b) => Math.floor(a / 60_000) === Math.floor(b / 60_000);
const together = (before, item) => before?.kind === 'message' && before.from === item.from
  && before.guest === item.guest && item.at - before.at < TOGETHER_MS
  && sameDay(before.at, item.at);

/** An item that could not be shown as it should: as a text without anything that could fail again. It must not stop the others. */
const plain = ({ serial, from = '', content = '' }) => el('li', { class: 'message first', 'data-serial': serial },
  el('p', { class: 'by' }, from), el('div', { class: 'line' }, el('p', { class: 'bubble', dir: 'auto' }, content)));

const deleted = () => el('p', { class: 'deleted' }, words.deleted);

export class Log {
  #place = byId('log-place');
  #newer = byId('newer');
  #newerText = byId('newer-text');
  #conversation = null;
  #actions;
  #log; #list; #outgoing;
  #last = 0; // serial of the newest item that is shown
  #height = 0; // of the place, when it was measured last
  #below = 0; // messages that arrived below what is seen
  /** The reader is at the end and wants to stay there. */
  atEnd = true;

  /**
   * @param {{retry, discard, reachedEnd, isShown, menuOf, names}} actions  whether an item is to be shown, the button of its menu, and the
   *   names that can be mentioned in what is shown
   */
  constructor(actions) {
    this.#actions = actions;
    this.#newer.addEventListener('click', () => { this.toEnd(); this.#log.focus({ preventScroll: true }); });
    new ResizeObserver(() => {
      this.#height = this.#place.clientHeight;
      if (this.atEnd) this.toEnd();
    }).observe(this.#place);
  }

  /** Shows another conversation, or none. A new element takes the old one's place, so that its past is not read out. */
  show(conversation) {
    this.#conversation = conversation;
    this.#place.replaceChildren();
    this.#newer.hidden = true;
    if (!conversation) return;
    this.#list = el('ol', { class: 'messages' });
    this.#outgoing = el('ol', { class: 'messages outgoing', 'aria-live': 'off' });
    this.#log = el('div', { class: 'log', role: 'log', 'aria-live': 'polite', tabindex: '0', 'aria-label': words.log(conversation.name) },
      el('div', { class: 'log-inner' }, this.#list, this.#outgoing));
    this.#log.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#last = 0;
    this.#below = 0;
    this.atEnd = true;
    const { unreadFrom } = conversation;
    this.#fill();
    this.#place.append(this.#log);
    this.#height = this.#place.clientHeight;
    const mark = unreadFrom !== null && this.#list.querySelector('.unread-mark');
    if (mark) this.#log.scrollTop = Math.max(0, mark.offsetTop - 24);
    else this.toEnd();
    this.#scrolled();
  }

  /** Brings what is shown up to date with the conversation. */
  sync() {
    if (!this.#conversation) return;
    const follow = this.atEnd;
    this.#trim();
    const arrived = this.#fill();
    if (follow) this.toEnd();
    else this.#below += arrived;
    this.#offer();
  }

  /** Shows a message as it is now, where it stands. */
  replace(item) {
    const line = this.#list?.querySelector(`:scope > .message[data-serial="${item.serial}"]`);
    if (!line) return;
    const fresh = this.#message(item, line.classList.contains('first'));
    fresh.classList.toggle('same-minute', line.classList.contains('same-minute'));
    const [height, isAbove] = [this.#log.scrollHeight, line.offsetTop < this.#log.scrollTop];
    line.replaceWith(fresh);
    if (this.atEnd) this.toEnd();
    else if (isAbove) this.#log.scrollTop -= height - this.#log.scrollHeight; // what is read does not move
  }

  toEnd() {
    if (!this.#log) return;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.atEnd = true;
    this.#below = 0;
    this.#offer();
  }

  /** Which items are to be shown has changed. */
  filter() {
    if (!this.#conversation) return;
    const lines = new Map([...this.#list.querySelectorAll(':scope > .message')].map((line) => [line.dataset.serial, line]));
    for (const item of this.#conversation.items) {
      if (item.kind !== 'message') continue;
      const line = lines.get(String(item.serial));
      if (line) line.hidden = !this.#isShown(item);
      else if (this.#isShown(item) && item.serial <= this.#last) return this.show(this.#conversation); // it came while it was not to be shown
    }
    if (this.atEnd) this.toEnd();
  }

  focus() {
    this.#log?.focus();
  }

  /** What was marked as new has been answered. */
  clearMark() {
    this.#list?.querySelector('.unread-mark')?.remove();
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    if (this.atEnd && clientHeight !== this.#height) return; // a keyboard came or went: the observer keeps the end
    this.atEnd = scrollHeight - scrollTop - clientHeight < BOTTOM_SLACK_PX;
    if (this.atEnd) {
      this.#below = 0;
      this.#actions.reachedEnd();
    }
    this.#offer();
  }

  #isShown(item) {
    return this.#actions.isShown(item);
  }

  #offer() {
    const hadFocus = document.activeElement === this.#newer;
    this.#newer.hidden = this.atEnd;
    setText(this.#newerText, this.#below ? words.new_messages(this.#below) : words.to_latest);
    this.#newer.classList.toggle('has-new', this.#below > 0);
    if (hadFocus && this.atEnd) this.#log.focus({ preventScroll: true });
  }

  /** Takes away what the conversation no longer keeps, without moving what is being read. */
  #trim() {
    const oldest = this.#conversation.items[0]?.serial ?? 0;
    const first = this.#list.firstElementChild;
    if (!first || Number(first.dataset.serial) >= oldest) return;
    const height = this.#log.scrollHeight;
    while (this.#list.firstElementChild && Number(this.#list.firstElementChild.dataset.serial) < oldest) this.#list.firstElementChild.remove();
    this.#headTop();
    if (!this.atEnd) this.#log.scrollTop -= height - this.#log.scrollHeight;
  }

  /** The oldest message left stands under its day and its name, even when those above it had them. */
  #headTop() {
    const item = this.#conversation.items.find((other) => other.kind === 'message' && this.#isShown(other));
    const top = this.#list.querySelector(':scope > .message:not(.trace)');
    if (!top || Number(top.dataset.serial) !== item?.serial || top.previousElementSibling?.classList.contains('day')) return;
    const fresh = this.#message(item, true);
    fresh.classList.toggle('same-minute', top.classList.contains('same-minute'));
    top.replaceWith(fresh);
    fresh.before(this.#day(item));
  }

  /** Appends what is not shown yet; says how many messages of others these were. */
  #fill() {
    const { items, unreadFrom } = this.#conversation;
    let arrived = 0;
    let index = items.length;
    while (index > 0 && items[index - 1].serial > this.#last) index -= 1;
    for (; index < items.length; index += 1) {
      const item = items[index];
      if (item.serial === unreadFrom) this.#list.append(el('li', { class: 'mark unread-mark', 'data-serial': item.serial }, words.unread_from_here));
      if (item.kind === 'message' && !item.mine && this.#isShown(item)) arrived += 1;
      try {
        this.#append(item, items[index - 1]);
      } catch (error) {
        console.error(error);
        this.#list.append(plain(item));
      }
      this.#last = item.serial;
    }
    this.#refreshPresence(items.at(-1));
    reconcile(this.#outgoing, [...this.#conversation.outgoing.values()], (message) => message.id, (message) => this.#ours(message),
      (element, message) => this.#updateOurs(element, message));
    return arrived;
  }

  #append(item, before) {
    if (!this.#isShown(item)) return;
    if (item.kind === 'message') this.#appendMessage(item, before);
    else if (item.kind === 'deleted') this.#list.append(this.#trace(item));
    else this.#list.append(item.kind === 'gap' ? el('li', { class: 'mark gap', 'data-serial': item.serial }, words.gap) : this.#presence(item));
  }

  #appendMessage(item, before) {
    const lastMessage = this.#conversation.items.findLast((other) => other.kind === 'message' && other.serial < item.serial && this.#isShown(other));
    if (!lastMessage || !sameDay(lastMessage.at, item.at)) this.#list.append(this.#day(item));
    const joined = together(before, item);
    if (joined && sameMinute(before.at, item.at)) this.#list.lastElementChild?.classList.add('same-minute');
    this.#list.append(this.#message(item, !joined));
  }

  #day({ at, serial }) {
    return el('li', { class: 'mark day', 'data-serial': serial }, el('time', { datetime: at.toISOString().slice(0, 10) }, dayOf(at)));
  }

  /** What is left of a message that was deleted before it was read here: nobody says whose it was, and when. */
  #trace({ serial }) {
    return el('li', { class: 'message trace first', 'data-serial': serial }, el('div', { class: 'line' }, deleted()));
  }

  #message(item, first) {
    const { serial, from, guest, mine, content, at, gone, mentionsUs } = item;
    return el('li', { class: `message${mine ? ' mine' : ''}${first ? ' first' : ''}${mentionsUs && !gone ? ' mentions-us' : ''}`, 'data-serial': serial },
      !mine && first ? seal(from) : null,
      el('p', { class: first && !mine ? 'by' : 'by unseen' }, ...(mine ? [words.own_name] : [bdi(from), guestMark(guest)])),
      el('div', { class: 'line' },
        gone ? deleted() : el('div', { class: 'bubble', dir: 'auto' }, ...formatted(content, { mentions: this.#actions.names() })),
        el('time', { class: 'time', datetime: at.toISOString() }, timeOf(at)),
        el('span', { class: 'message-actions' }, this.#actions.menuOf(item))));
  }

  #presence(item) {
    return el('li', { class: 'mark presence', 'data-serial': item.serial, 'data-names': item.names.length }, ...this.#presenceWords(item));
  }

  #presenceWords({ entered, names }) {
    const shown = names.slice(0, NAMES_SHOWN_MAX).map(({ name, guest }) => el('span', {}, bdi(name), ...(guest ? [' ', guestMark(guest)] : [])));
    const listed = (...marks) => {
      const more = names.length - marks.length;
      const list = marks.join(', ');
      return words[entered ? 'entered' : 'left'](more > 0 ? words.and_more(list, count(more)) : list);
    };
    return sentence(listed, ...shown);
  }

  /** People who come one after the other share a line. */
  #refreshPresence(item) {
    const line = this.#list.lastElementChild;
    if (item?.kind !== 'presence' || !line || line.dataset.names === String(item.names.length)) return;
    line.replaceWith(this.#presence(item));
  }

  #ours({ content }) {
    return el('li', { class: 'message mine' },
      el('p', { class: 'by unseen' }, words.own_name),
      el('div', { class: 'line' }, el('div', { class: 'bubble', dir: 'auto' }, ...formatted(content, { mentions: this.#actions.names() })), el('time', { class: 'time' })),
      el('p', { class: 'progress' }));
  }

  #updateOurs(element, message) {
    const key = `${message.status} ${message.error} ${message.status === 'pending' && this.#conversation.waiting}`;
    if (element.dataset.status === key) return;
    element.dataset.status = key;
    element.classList.toggle('pending', message.status === 'pending');
    element.classList.toggle('failed', message.status === 'failed');
    setText(element.querySelector('.time'), message.status === 'sent' ? timeOf(new Date(message.createdAt)) : '');
    const progress = element.querySelector('.progress');
    if (message.status === 'sent') progress.replaceChildren();
    else if (message.status === 'pending') progress.replaceChildren(this.#conversation.waiting ? words.waiting : words.sending);
    else progress.replaceChildren(...this.#failure(message));
  }

  #failure(message) {
    return [
      el('span', { role: 'alert' }, `${words.failed}. ${explain(message.error)}`), ' ',
      el('button', { type: 'button', class: 'link', onclick: () => this.#actions.retry(message) }, words.retry), ' ',
      el('button', { type: 'button', class: 'link', onclick: () => this.#actions.discard(message) }, words.discard),
    ];
  }
}
