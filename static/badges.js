// What is unread, in numbers: at the places of the list, at the button that opens it, in the title.

import { isMuted } from './muting.js';
import { el } from './view.js';
import { words } from './words.js';
import { words as callWords } from './words-calls.js';

const SHOWN_MAX = 99;
const short = (n) => (n > SHOWN_MAX ? `${SHOWN_MAX}+` : String(n));

function fill(badge, key, shown, said) {
  if (badge.dataset.key === key) return;
  badge.dataset.key = key;
  badge.replaceChildren(el('span', { 'aria-hidden': 'true' }, shown), el('span', { class: 'unseen' }, said));
}

/** How many messages are unread; that some of them mention us is shown with an @ where there is no badge of its own for them. */
export function showBadge(badge, unread, mentioned = 0) {
  badge.hidden = !unread && !mentioned;
  badge.classList.toggle('is-mention', mentioned > 0);
  badge.classList.remove('is-quiet');
  const said = [unread ? words.unread(unread) : '', mentioned ? callWords.mentions(mentioned) : ''].filter(Boolean).join(', ');
  if (!badge.hidden) fill(badge, `${unread} ${mentioned}`, mentioned ? `@${short(mentioned)}` : short(unread), said);
}

/** That something is unread, of a room that is muted. */
export function showDot(badge, unread) {
  badge.hidden = !unread;
  badge.classList.add('is-quiet');
  fill(badge, 'quiet', '', callWords.some_unread);
}

/** Of a muted room, only what mentions us counts. @param {import('./conversation.js').Conversation[]} conversations */
export const countUnread = (conversations) => ({
  unread: conversations.reduce((sum, conversation) => sum + (isMuted(conversation) ? 0 : conversation.unread), 0),
  mentioned: conversations.reduce((sum, { mentioned }) => sum + mentioned, 0),
});

/** Mentions come first: of a narrow tab, only the beginning is seen. A room that is called as the house is needs no second name. */
export const titleOf = (place, { unread, mentioned }) => `${mentioned ? `@${mentioned} ` : ''}${unread ? `(${unread}) ` : ''}${place && place !== words.title ? `${place} · ` : ''}${words.title}`;
