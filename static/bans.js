// The dialog that lists who is banned, and lifts bans.

import { newElementId, showDialog } from './dialogs.js';
import { momentOf } from './words.js';
import { bdi, el, seal, sentence } from './view.js';
import { words } from './words-people.js';

/** Bans that are asked for at a time; as many more are asked for with a button. */
const PAGE = 50;

/** @typedef {{username: string, room?: string, until: ?string, reason: ?string, by: string, at: string}} Ban */

const facts = ({ room, until, reason, by }) => [
  el('p', {}, ...(room ? sentence(words.ban_of_room, room) : [words.ban_of_house]), ' · ', until ? words.ban_until(momentOf(new Date(until))) : words.ban_endless),
  reason && reason !== 'banned' && el('p', {}, ...sentence(words.ban_why, reason)),
  el('p', {}, ...sentence(words.ban_by, by)),
];

/** @param {(type: string, fields: object, notFound?: string) => Promise<object>} act */
export function openBans(act) {
  const id = newElementId();
  const list = el('ul', { class: 'bans', 'aria-labelledby': id, tabindex: '-1' });
  const status = el('p', { class: 'hint', role: 'status' }, words.working);
  const problem = el('p', { class: 'problem', role: 'alert' });
  const more = el('button', { type: 'button', class: 'quiet wide', hidden: true, onclick: () => load() }, words.more_bans);
  const dialog = showDialog([el('span', { id }, words.bans)], list, more, status, problem,
    el('div', { class: 'actions' }, el('button', { type: 'button', class: 'primary', onclick: () => dialog.close() }, words.close)));
  let after;

  const sayHowMany = () => { status.textContent = list.children.length ? '' : words.no_bans; };

  async function load() {
    problem.textContent = '';
    try {
      const { bans, next } = await act('bans', { after, limit: PAGE });
      after = next;
      const lines = bans.map(line);
      list.append(...lines);
      if (document.activeElement === more) (lines[0]?.querySelector('button') ?? list).focus();
      more.hidden = !next;
      sayHowMany();
    } catch ({ message }) {
      status.textContent = '';
      problem.textContent = message;
    }
  }

  /** @param {Ban} ban */
  function line(ban) {
    const lift = el('button', { type: 'button', class: 'quiet', 'aria-label': words.unban_label(ban.username), onclick: () => end(ban, element) }, words.unban);
    const element = el('li', { class: 'ban' }, seal(ban.username), el('div', { class: 'ban-facts' }, el('p', {}, el('strong', {}, bdi(ban.username))), ...facts(ban)), lift);
    return element;
  }

  async function end({ username: user, room }, element) {
    problem.textContent = '';
    try {
      await act('unban', { user, room }, words.not_banned);
      status.textContent = words.unbanned(user);
    } catch ({ message }) {
      problem.textContent = message;
      if (message !== words.not_banned) return;
    }
    const next = element.nextElementSibling ?? element.previousElementSibling;
    element.remove();
    (next?.querySelector('button') ?? list).focus();
    if (!list.children.length && !status.textContent) sayHowMany();
  }

  load();
}
