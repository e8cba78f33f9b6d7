// What stands above a conversation's messages: how to get at earlier ones, or that there are none.

import { EARLIER_MAX, MESSAGES_MAX } from './conversation.js';
import { words } from './words-log.js';
import { el } from './view.js';

/** @typedef {import('./conversation.js').Conversation} Conversation */

/** Messages asked for at once: by someone who scrolls up, and on the way to one that is far up. */
const PAGE = 50;
const PAGE_ON_THE_WAY = 200;

export const oldestPosition = ({ items }) => items.find(({ position }) => position)?.position;
const isFull = ({ messages }) => messages >= MESSAGES_MAX + EARLIER_MAX;
/** A room's messages are numbered from 1 on. */
const isFirst = (position) => position?.endsWith(':1');

export class Earlier {
  element = el('div', { class: 'earlier', 'aria-live': 'off' });
  #conversation; #actions;
  /** The page that is on its way. @type {?Promise<boolean>} */ #loading = null;
  /** Something is looked for among earlier messages: none that was found may go. */ isSearching = false;
  #failed = false;
  #shown = '';

  /**
   * @param {Conversation} conversation
   * @param {object} actions
   * @param {(conversation: Conversation, page: {before?: string, limit: number}) => Promise<{items: object[], more: boolean}>} actions.history
   * @param {(items: object[]) => void} actions.add   Puts them above all that is shown.
   * @param {() => void} actions.lost   The button that had the focus is gone.
   */
  constructor(conversation, actions) {
    [this.#conversation, this.#actions] = [conversation, actions];
    this.show();
  }

  /** By itself, when somebody comes near the top. What failed, only somebody's wish tries again. */
  near() {
    if (!this.#failed) this.load();
  }

  /** @returns {Promise<boolean>} whether there are more above now than before */
  load(limit = PAGE) {
    const { more, standing } = this.#conversation;
    if (more === false || standing !== 'in' || isFull(this.#conversation)) return Promise.resolve(false);
    this.#loading ??= this.#load(limit);
    return this.#loading;
  }

  /** Until `isFound`, or there are no more. @returns {Promise<'found'|'none'|'full'|'failed'>} */
  async loadUntil(isFound) {
    this.isSearching = true;
    let isMore = true;
    while (isMore && !isFound() && !isFull(this.#conversation)) isMore = await this.load(PAGE_ON_THE_WAY);
    this.isSearching = false;
    return isFound() ? 'found' : this.#failed ? 'failed' : isMore ? 'full' : 'none';
  }

  async #load(limit) {
    const conversation = this.#conversation;
    const before = oldestPosition(conversation);
    this.#failed = false;
    this.show(true);
    let added = 0;
    try {
      const { items, more } = await this.#actions.history(conversation, { before, limit });
      // It may have been told anew meanwhile, or have let go of what was oldest.
      if (before === oldestPosition(conversation)) {
        const fresh = items.filter(({ position }) => !conversation.byPosition.has(position));
        added = fresh.length;
        conversation.more = more && added > 0;
        this.#actions.add(fresh);
      }
    } catch {
      this.#failed = true;
    }
    this.#loading = null;
    this.show();
    return added > 0;
  }

  show(isLoading = Boolean(this.#loading)) {
    const { kind, standing, more, messages } = this.#conversation;
    const shown = kind !== 'room' || !messages || standing === 'joining' ? ''
      : isLoading ? 'loading'
        : this.#failed ? 'failed'
          : more !== false ? (isFull(this.#conversation) ? 'too_many' : 'more')
            : isFirst(oldestPosition(this.#conversation)) ? 'beginning' : 'not_kept';
    if (shown === this.#shown) return;
    const hadFocus = this.element.contains(document.activeElement);
    this.#shown = shown;
    this.element.replaceChildren(...this.#content(shown));
    if (!hadFocus) return;
    const button = this.element.querySelector('button');
    if (button) button.focus({ preventScroll: true });
    else if (shown !== 'loading') this.#actions.lost();
  }

  #content(shown) {
    const button = (label) => el('button', { type: 'button', class: 'link', onclick: () => this.load() }, label);
    switch (shown) {
      case '': return [];
      case 'more': return [button(words.earlier)];
      case 'loading': return [el('button', { type: 'button', class: 'link', 'aria-disabled': 'true' }, words.earlier_loading)]; // keeps the focus
      case 'failed': return [el('p', { role: 'alert' }, words.earlier_failed), button(words.earlier_retry)];
      default: return [el('p', {}, words[shown])];
    }
  }
}
