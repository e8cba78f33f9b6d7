// What moderators may do in the page: delete messages, put people out, ban them and lift bans, change and close rooms. The server
// decides; here it is asked, over the connection that is open.

import { announce } from './notices.js';
import { offer } from './actions.js';
import { ask, choice, chosenOf, field, Problem } from './dialogs.js';
import { openBans } from './bans.js';
import { house } from './house.js';
import { count, explain } from './words.js';
import { locale } from './language.js';
import { bdi, el, guestMark, sentence } from './view.js';
import { words } from './words-people.js';

/** As the server has them. */
const REASON_CHARS_MAX = 256;
const BAN_SECONDS_MAX = 315_360_000;
const SEATS_MAX = 1_000_000;
const HISTORY_MESSAGES_MAX = 1_000;

const MINUTE_MS = 60_000;
const SECTION = 'moderation';

const canModerate = () => Boolean(house.chat?.admin) && house.chat.state.name === 'connected';

/** @param {string} code  @param {string} [notFound]  what it means that there is nothing of the kind */
function explainRefusal(code, notFound = words.not_found) {
  if (code === 'not_found' || code === 'message_not_found') return notFound;
  if (code === 'forbidden' || code === 'unauthorized') return words.not_allowed;
  return code === 'closed' || code === 'timeout' ? words.connection_lost : explain(code);
}

/** Asks the server to act. Rejected with what its refusal means. */
export async function act(type, fields, notFound) {
  if (!house.chat) throw new Problem(words.connection_lost);
  try {
    return await house.chat.act(type, fields);
  } catch ({ code }) {
    throw new Problem(explainRefusal(code, notFound));
  }
}

function reasonField() {
  const input = el('input', { autocomplete: 'off', dir: 'auto' });
  return { part: field(words.reason, input, words.reason_hint), read: () => readReason(input) };
}

function readReason(input) {
  const reason = input.value.trim().replace(/\p{Cc}/gu, ' ');
  if ([...reason].length > REASON_CHARS_MAX) throw new Problem(words.bad_reason, input);
  return reason || undefined;
}

const named = (template, { name, guest }) => sentence(template, el('span', {}, bdi(name), ...(guest ? [' ', guestMark(true)] : [])));

// Messages

function askToDelete({ from, content, position }, room) {
  ask({
    title: [words.delete_title],
    content: [el('blockquote', { class: 'excerpt' }, bdi(from), ': ', bdi(content)), el('p', { class: 'hint' }, words.delete_text)],
    action: words.delete,
    danger: true,
    async run() {
      await act('delete', { room, position });
      return () => announce(words.deleted);
    },
  });
}

// People

function askToKick(person, room) {
  const reason = reasonField();
  ask({
    title: named(room ? words.kick_room_title : words.kick_house_title, person),
    content: [el('p', { class: 'hint' }, words.kick_text), reason.part],
    action: words.kick,
    danger: true,
    async run() {
      await act('kick', { user: person.name, room, reason: reason.read() });
      return () => announce(words.kicked, { names: [person.name] });
    },
  });
}

/** The value of a `datetime-local` field. */
const localTime = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * MINUTE_MS).toISOString().slice(0, 16);

/** How long a ban lasts: one of the usual terms, a time, or for good. */
function termField() {
  const terms = ['600', '3600', '86400', '604800', 'endless', 'date'];
  const select = el('select', { onchange: () => { end.hidden = select.value !== 'date'; } }, ...terms.map((term) => el('option', { value: term }, words.terms[term])));
  select.value = '3600';
  const time = el('input', { type: 'datetime-local', min: localTime(Date.now() + MINUTE_MS), value: localTime(Date.now() + 30 * 86_400_000) });
  const end = field(words.until, time);
  end.hidden = true;
  return {
    part: el('div', {}, field(words.how_long, select), end),
    read() {
      if (select.value === 'endless') return undefined;
      if (select.value !== 'date') return Number(select.value);
      const seconds = Math.ceil((new Date(time.value).getTime() - Date.now()) / 1000);
      if (!(seconds >= 1 && seconds <= BAN_SECONDS_MAX)) throw new Problem(words.bad_end, time);
      return seconds;
    },
  };
}

function askToBan(person, room) {
  const where = room && choice(words.where, 'where', [['room', words.this_room(room)], ['everywhere', words.everywhere]], 'room');
  const term = termField();
  const reason = reasonField();
  ask({
    title: named(words.ban_title, person),
    content: [where, term.part, reason.part, person.guest && el('p', { class: 'hint' }, words.ban_by_name)],
    action: words.do_ban,
    danger: true,
    async run() {
      const from = where && chosenOf(where) === 'room' ? room : undefined;
      await act('ban', { user: person.name, room: from, seconds: term.read(), reason: reason.read() });
      return () => announce(words.banned, { names: [person.name], action: { label: words.undo, run: () => lift(person.name, from) } });
    },
  });
}

async function lift(user, room) {
  try {
    await act('unban', { user, room }, words.not_banned);
    announce(words.unbanned, { names: [user] });
  } catch ({ message }) {
    announce(message);
  }
}

// Rooms

/** For how long messages may be kept: as the server counts, in seconds. */
const HISTORY_TERMS = [3_600, 86_400, 604_800, 2_592_000, 31_536_000];

/** In the largest unit that it is a whole number of. */
function duration(seconds) {
  const [unit, size] = [['day', 86_400], ['hour', 3_600], ['minute', 60], ['second', 1]].find(([, length]) => seconds % length === 0);
  return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / size);
}

/** The whole number in a field. @throws {Problem} where it is none, or not between the two */
function wholeNumber(input, min, max, problem) {
  const number = input.value.trim() === '' ? NaN : Number(input.value);
  if (!Number.isInteger(number) || number < min || number > max) throw new Problem(problem, input);
  return number;
}

/** How many messages a room keeps, and for how long. */
function historyFields({ history_messages: kept, history_seconds: term }) {
  const messages = el('input', { type: 'number', inputmode: 'numeric', min: '0', max: HISTORY_MESSAGES_MAX, value: kept, required: true });
  const terms = [...new Set([...HISTORY_TERMS, ...(term ? [term] : [])])].sort((a, b) => a - b); // a back end may have set another one
  const select = el('select', {}, el('option', { value: '' }, words.terms.endless), ...terms.map((seconds) => el('option', { value: seconds }, duration(seconds))));
  select.value = term ?? '';
  return {
    parts: [field(words.history, messages, words.history_hint(count(HISTORY_MESSAGES_MAX))), field(words.history_term, select)],
    read() {
      const wanted = wholeNumber(messages, 0, HISTORY_MESSAGES_MAX, words.bad_history(count(HISTORY_MESSAGES_MAX)));
      return { history_messages: wanted, history_seconds: select.value ? Number(select.value) : null };
    },
  };
}

/** @returns {Promise<{max_users: number, write: string, history_messages: number, history_seconds: ?number}>} */
async function rulesOf(room) {
  try {
    const response = await fetch(`rooms/${encodeURIComponent(room)}`, { headers: house.me.session?.headers ?? {}, cache: 'no-store', credentials: 'omit' });
    const answer = await response.json();
    if (response.ok) return answer;
    throw new Problem(explainRefusal(answer.error?.code));
  } catch (error) {
    throw error instanceof Problem ? error : new Problem(explain('network'));
  }
}

async function askForRules(room) {
  let rules;
  try { rules = await rulesOf(room); } catch ({ message }) { return announce(message); }
  const seats = el('input', { type: 'number', inputmode: 'numeric', min: '1', max: SEATS_MAX, value: rules.max_users, required: true });
  const history = historyFields(rules);
  const writers = choice(words.who_writes, 'write', Object.entries(words.writers), rules.write);
  return ask({
    title: sentence(words.room_settings_title, room),
    content: [field(words.seats, seats, words.seats_hint(count(SEATS_MAX))), writers, ...history.parts],
    action: words.save,
    async run() {
      const wanted = wholeNumber(seats, 1, SEATS_MAX, explain('bad_limit'));
      await act('set_room', { room, max_users: wanted, write: chosenOf(writers), ...history.read() });
      house.chat?.listRooms();
      return () => announce(words.room_saved);
    },
  });
}

function askToRemove(room) {
  ask({
    title: sentence(words.remove_room_title, room),
    content: [el('p', {}, words.remove_room_text)],
    action: words.remove,
    danger: true,
    async run() {
      await act('remove_room', { room });
      return () => announce(words.room_removed, { names: [room] });
    },
  });
}

// What is offered in the menus

function aboutMessage(item) {
  const { active } = house;
  const may = canModerate() && active?.kind === 'room' && item.position && !item.gone;
  return [may && { name: 'delete', label: words.delete_message, section: SECTION, danger: true, run: () => askToDelete(item, active.name) }];
}

function aboutPerson(person) {
  if (!canModerate() || person.name === house.chat.username) return [];
  const room = house.active?.kind === 'room' ? house.active.name : undefined;
  return [
    room && { name: 'kick-room', label: words.kick_from_room, section: SECTION, danger: true, run: () => askToKick(person, room) },
    { name: 'kick', label: words.kick_from_house, section: SECTION, danger: true, run: () => askToKick(person) },
    { name: 'ban', label: words.ban, section: SECTION, danger: true, run: () => askToBan(person, room) },
  ];
}

function aboutPlace(conversation) {
  if (!canModerate()) return [];
  if (conversation.kind === 'whisper') return aboutPerson(conversation);
  const { name, impossible } = conversation;
  if (impossible) return [];
  return [
    { name: 'rules', label: words.room_settings, section: SECTION, run: () => askForRules(name) },
    { name: 'bans', label: words.open_bans, section: SECTION, run: () => openBans(act) },
    { name: 'remove-room', label: words.remove_room, section: SECTION, danger: true, run: () => askToRemove(name) },
  ];
}

export function setUpModeration() {
  offer('message', aboutMessage);
  offer('person', aboutPerson);
  offer('place', aboutPlace);
}
