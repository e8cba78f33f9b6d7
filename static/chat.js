// The chat page: what it knows (conversations, rooms, people), and how that gets onto the screen.
// sarang.js speaks with the server, entry.js asks who comes, session.js keeps whoever signed in signed in, log.js shows
// a conversation, lists.js the rooms and people at its sides, view.js has the small pieces, words.js the words.

import { Sarang, nameOf } from './sarang.js';
import { Session } from './session.js';
import { Entry, guestKey } from './entry.js';
import { Lists, NewRoom, showBadge } from './lists.js';
import { ITEMS_MAX, Log } from './log.js';
import { count, explain, timeOf, translate, words } from './words.js';
import { bdi, byId, el, icon, notify, recall, remember, seal, sentence, setText, setUpDrawer } from './view.js';

const CONTENT_CHARS_MAX = 4096;
/** The counter shows when this many characters are left. */
const COUNTER_FROM_CHARS = 300;
const TEXT_ROWS_MAX = 8;
const ROOM_LIST_EVERY_MS = 20_000;
/** The close code of a connection that is one too many of its user. */
const TOO_MANY_CONNECTIONS = 1013;

/** @typedef {import('./log.js').Item} Item */

/**
 * @typedef {object} Conversation  A room that was entered, or the whispers with one person.
 * @property {string} key @property {'room'|'whisper'} kind @property {string} name
 * @property {Item[]} items        what was said, bounded
 * @property {Map<string, import('./sarang.js').Outgoing>} outgoing   our own messages that are not among the items yet
 * @property {Set<string>} shown   ids of our messages that are among the items before their echo came
 * @property {'joining'|'in'|'out'} standing   out: refused, for the reason `refusal`
 * @property {Map<string, boolean>} people  the others in the room, as far as they are told: whether each is a guest
 * @property {number} present      how many are in the room, we too
 * @property {number} unread @property {?number} unreadFrom   serial of the first unread item
 * @property {string} draft @property {boolean} waiting   for the connection to come back
 */

/**
 * @typedef {object} Who   @property {string} name
 * @property {?Session} session  of an account; a guest has none @property {boolean} [guest]  is marked as one
 */

/** @type {?Who} */ let me = null;
/** @type {?Sarang} */ let chat = null;
/** @type {Map<string, Conversation>} */ const conversations = new Map();
/** @type {?Conversation} */ let active = null;
/** name → {name, max_users, users}, as the server lists them */ let rooms = new Map();
let serial = 0;
let welcomed = false;
let rendering = false;

const wide = matchMedia('(min-width: 60rem)');
const fine = matchMedia('(pointer: fine)');
const drawer = setUpDrawer(wide);
const query = new URLSearchParams(location.search);
const lists = new Lists({
  show: (key) => show(conversations.get(key)),
  enter: (name) => enterRoom(name),
  whisper: (name) => show(whispersWith(name)),
});
const log = new Log({
  retry: (message) => { chat.retry(message); changed(); },
  discard: (message) => { conversationOf(message)?.outgoing.delete(message.id); changed(); log.focus(); },
  reachedEnd: () => { markRead(); changed(); },
});

const entry = new Entry({ enterAsGuest: (name) => comeBack({ name, session: null }), signedIn });
const newRoom = new NewRoom({ enter: (name) => enterRoom(name), headers: () => me.session?.headers ?? {} });

/** A reload of the tab leads back into the rooms. */
const rememberSession = () => chat && remember('sessionStorage', 'sarang.session', {
  name: me.name,
  account: Boolean(me.session),
  rooms: [...conversations.values()].filter(({ kind }) => kind === 'room').map(({ name }) => name),
  active: active?.kind === 'room' ? active.name : null,
});

// Entering and leaving the house

/** Where to connect to, asked for afresh before each attempt. @param {Who} who */
async function socketUrl({ name, session }) {
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const identity = session ? `ticket=${encodeURIComponent(await session.ticket())}` : `username=${encodeURIComponent(name)}`;
  return `${url}?${identity}`;
}

/** @param {Who} who */
function enter(who, roomsToJoin, roomToShow) {
  dismiss();
  me = who;
  chat = new Sarang({ url: () => socketUrl(who), key: who.session ? undefined : guestKey(who.name), ticketed: Boolean(who.session) });
  listen(chat);
  if (who.session) startSession();
  for (const room of roomsToJoin) enterRoom(room, room === roomToShow);
}

/** Whoever signs in again goes on where their session ended, with all that was not sent yet. */
function signedIn(session) {
  if (me?.session?.ended && me.name === session.username && chat.state.name !== 'closed') {
    me.session = session;
    startSession();
    chat.retryNow();
  } else {
    comeBack({ name: session.username, session });
  }
}

/** Into the rooms of before the tab was reloaded or a session ended, and the one that the address names. @param {Who} who */
function comeBack(who) {
  const stay = recall('sessionStorage', 'sarang.session');
  const isTheirs = stay?.name === who.name && stay.account === Boolean(who.session);
  const room = query.get('room');
  const again = isTheirs ? stay.rooms : [];
  enter(who, new Set([...again, ...(room ? [room] : [])]), (isTheirs && stay.active) || room);
}

function startSession() {
  const { session } = me;
  session.start({
    extend: (ticket) => chat.extend(ticket),
    renewalRefused: changed,
    // The chat is not ended, only without tickets: what was not sent waits for its author.
    ended: (reason) => me?.session === session && showEntry({ reason: words.ended[reason], account: me.name }),
  });
}

function dismiss() {
  const former = chat;
  chat = null; // first, so that nothing it still says is heard
  former?.close();
  me?.session?.leave();
  me = null;
  welcomed = false;
  conversations.clear();
  active = null;
  byId('text').value = '';
  log.show(null);
}

function showHouse() {
  welcomed = true;
  if (!me.session) remember('localStorage', 'sarang.name', chat.username);
  entry.close();
  byId('house').hidden = false;
  byId('skip').hidden = false;
  byId('my-name').textContent = chat.username;
  byId('my-seal').replaceChildren(seal(chat.username));
  show(active);
}

function showEntry(why) {
  welcomed = false;
  drawer.close();
  newRoom.close();
  byId('house').hidden = true;
  byId('skip').hidden = true;
  document.title = words.title;
  entry.open(why);
}

function leaveHouse(why) {
  dismiss();
  remember('sessionStorage', 'sarang.session', null);
  showEntry(why);
}

// What the server tells

function listen(source) {
  const on = (type, handle) => source.addEventListener(type, ({ detail }) => {
    if (source !== chat) return; // of an earlier stay
    handle(detail);
    changed();
  });
  on('state', stateChanged);
  on('welcome', ({ guest = false }) => { me.guest = guest; if (!welcomed) showHouse(); source.listRooms(); });
  on('room_joined', roomJoined);
  on('join_failed', ({ room, code }) => refuse(room, code));
  on('room_left', ({ room }) => forget(conversations.get(keyOf('room', room))));
  on('room_list', (detail) => { rooms = new Map(detail.rooms.map((room) => [room.name, room])); });
  on('chat', (detail) => heard(conversations.get(keyOf('room', detail.room)), detail, detail.username));
  on('whisper', (detail) => heard(whispersWith(detail.from === source.username ? detail.to : detail.from), detail, detail.from));
  on('message', messageChanged);
  on('user_joined', (detail) => presence(detail, true));
  on('user_left', (detail) => presence(detail, false));
  on('room_users', ({ room, count: present }) => { const conversation = conversations.get(keyOf('room', room)); if (conversation) conversation.present = present; });
  on('error', ({ code }) => notify(explain(code)));
}

/** Why there is no connection, when another will be tried. */
const problemOf = (code, otherwise) => (code === TOO_MANY_CONNECTIONS ? explain(code) : otherwise);

function stateChanged(state) {
  for (const conversation of conversations.values()) conversation.waiting = state.name !== 'connected';
  if (welcomed || me.session?.ended) return;
  if (state.name === 'closed') leaveHouse({ problem: explain(me.session && state.code === 4001 ? 'ticket' : state.code), account: me.session && me.name });
  else if (state.name === 'reconnecting') entry.problem(problemOf(state.code, words.unreachable));
}

function roomJoined({ room, messages, first, gap, online_users: others, guests = [], online_count: present }) {
  const conversation = conversations.get(keyOf('room', room));
  if (!conversation) return;
  // Coming back after a refusal: the history is told from its start again.
  const again = first && conversation.items.length > 0;
  if (again) conversation.items = [];
  Object.assign(conversation, { standing: 'in', people: new Map(others.map((name) => [name, guests.includes(name)])), present });
  if (gap && conversation.items.at(-1)?.kind !== 'gap') append(conversation, { kind: 'gap' });
  for (const message of messages) heard(conversation, message, message.username, first);
  settleSent(conversation);
  if (again && conversation === active) log.show(active);
  if (conversation === active) showParts();
  rememberSession();
  chat.listRooms();
}

function heard(conversation, { id, content, timestamp, gap, guest = false }, from, past = false) {
  if (!conversation || conversation.shown.delete(id)) return;
  if (gap) append(conversation, { kind: 'gap' });
  conversation.outgoing.delete(id);
  const mine = from === chat.username;
  const item = append(conversation, { kind: 'message', from, guest, mine, content, at: new Date(timestamp) });
  if (mine || past || isRead(conversation)) return;
  conversation.unreadFrom = conversation.unread ? conversation.unreadFrom : item.serial;
  conversation.unread += 1;
}

function presence({ room, username, guest = false }, entered) {
  const conversation = conversations.get(keyOf('room', room));
  if (!conversation || conversation.people.has(username) === entered) return;
  if (entered) conversation.people.set(username, guest);
  else conversation.people.delete(username);
  conversation.present += entered ? 1 : -1;
  const last = conversation.items.at(-1);
  if (last?.kind !== 'presence' || last.entered !== entered) append(conversation, { kind: 'presence', entered, names: [{ name: username, guest }] });
  else if (!last.names.some(({ name }) => name === username)) last.names.push({ name: username, guest });
}

function messageChanged(message) {
  const conversation = conversationOf(message);
  // Its echo is shown already, and another tab's same words were not taken for it.
  if (!conversation || (!conversation.outgoing.has(message.id) && message.status !== 'failed')) return;
  if (['unconfirmed', 'closed'].includes(message.error) && !conversation.outgoing.has(message.id)) return;
  conversation.outgoing.set(message.id, message);
  if (message.kind === 'whisper') settleSent(conversation);
}

// Conversations

const keyOf = (kind, name) => `${kind} ${name}`;
const conversationOf = ({ kind, room, to }) => conversations.get(kind === 'chat' ? keyOf('room', room) : keyOf('whisper', to));
const isRead = (conversation) => conversation === active && document.visibilityState === 'visible' && log.atEnd;

function conversation(kind, name) {
  const key = keyOf(kind, name);
  if (!conversations.has(key)) {
    conversations.set(key, {
      key, kind, name, items: [], outgoing: new Map(), shown: new Set(), standing: kind === 'room' ? 'joining' : 'in', refusal: null, people: new Map(),
      present: 0, unread: 0, unreadFrom: null, draft: '', waiting: chat.state.name !== 'connected',
    });
  }
  return conversations.get(key);
}

const whispersWith = (name) => conversation('whisper', name);

function append(conversation, fields) {
  const item = { serial: serial += 1, ...fields };
  conversation.items.push(item);
  if (conversation.items.length > ITEMS_MAX) conversation.items.shift();
  return item;
}

/** What was sent becomes part of the conversation without waiting for its echo, which may be lost. */
function settleSent(conversation) {
  for (const [id, { status, content, createdAt }] of conversation.outgoing) {
    if (status !== 'sent') continue;
    conversation.outgoing.delete(id);
    conversation.shown.add(id);
    append(conversation, { kind: 'message', from: chat.username, mine: true, content, at: new Date(createdAt) });
  }
}

function enterRoom(name, andShow = true) {
  const room = conversation('room', nameOf(name));
  if (room.standing === 'out') room.standing = 'joining';
  chat.join(room.name);
  if (andShow) show(room);
}

function refuse(name, code) {
  const room = conversations.get(keyOf('room', name));
  if (room) Object.assign(room, { standing: 'out', refusal: code, people: new Map() });
  if (room === active) showParts();
  chat.listRooms();
}

function leave(conversation) {
  if (conversation.kind === 'room') chat.leave(conversation.name);
  forget(conversation);
}

function forget(conversation) {
  if (!conversation || !conversations.delete(conversation.key)) return;
  if (conversation === active) show([...conversations.values()].find(({ kind }) => kind === 'room') ?? null);
  rememberSession();
  chat?.listRooms();
}

function markRead() {
  if (!active || document.visibilityState !== 'visible' || !log.atEnd) return;
  active.unread = 0;
}

function show(conversation) {
  if (active && active !== conversation) {
    active.draft = byId('text').value;
    active.unreadFrom = null;
  }
  const draft = active === conversation ? byId('text').value : conversation?.draft ?? '';
  active = conversation;
  if (!welcomed) return;
  byId('text').value = draft;
  textChanged();
  showParts();
  log.show(active);
  markRead();
  rememberSession();
  drawer.close();
  render();
  // A touch screen would answer focus in a text field with its keyboard.
  if (active && active.standing !== 'out' && fine.matches) byId('text').focus();
  else byId('place').focus({ preventScroll: true });
}

// Writing

function say(event) {
  event.preventDefault();
  const content = byId('text').value.trim();
  if (!content || !active || charactersLeft() < 0) return;
  const message = active.kind === 'room' ? chat.say(active.name, content) : chat.whisper(active.name, content);
  active.outgoing.set(message.id, message);
  active.unreadFrom = null;
  byId('text').value = '';
  textChanged();
  log.clearMark();
  log.atEnd = true;
  changed();
}

/** Counted as the server counts: code points, not UTF-16 units. */
const charactersLeft = () => CONTENT_CHARS_MAX - [...byId('text').value.trim()].length;

function textChanged() {
  const text = byId('text');
  const left = charactersLeft();
  text.rows = Math.min(TEXT_ROWS_MAX, text.value.split('\n').length); // where `field-sizing` is not known
  byId('counter').textContent = left > COUNTER_FROM_CHARS ? '' : left >= 0 ? words.characters_left(count(left)) : words.characters_over(count(-left));
  byId('counter').classList.toggle('over', left < 0);
  text.setAttribute('aria-invalid', left < 0);
  byId('send').setAttribute('aria-disabled', left < 0 || !text.value.trim());
}

function textKey(event) {
  // While an input method composes, Enter ends the composition: Korean would be sent twice (229 is Safari's way to say so).
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  byId('composer').requestSubmit();
}

// Getting it onto the screen: changes are gathered, so that a busy room costs one rendering a turn.

function changed() {
  if (rendering) return;
  rendering = true;
  setTimeout(() => { rendering = false; render(); });
}

function render() {
  if (!chat || !welcomed) return;
  log.sync();
  markRead();
  renderState();
  renderLists();
  renderTitle();
}

/** The parts around the log that depend on which conversation it is, and how we stand to it. */
function showParts() {
  const isWhisper = active?.kind === 'whisper';
  byId('house').classList.toggle('whispering', isWhisper);
  byId('place').replaceChildren(active ? bdi(active.name) : words.title);
  byId('leave').hidden = !active;
  byId('leave').replaceChildren(icon(isWhisper ? 'close' : 'leave'));
  for (const attribute of ['aria-label', 'title']) byId('leave').setAttribute(attribute, isWhisper ? words.close_whisper : words.leave_room);
  const hasPeople = active?.kind === 'room' && active.standing !== 'out';
  byId('open-people').hidden = !hasPeople;
  byId('people-place').hidden = !hasPeople;
  byId('composer').hidden = !active || active.standing === 'out';
  byId('private').hidden = !isWhisper;
  const label = active && (isWhisper ? words.whisper_to : words.write_in)(active.name);
  setText(byId('text-label'), label ?? words.write);
  byId('text').placeholder = label ?? '';
}

function renderBlank() {
  const empty = !active || (!active.outgoing.size && !active.items.some(({ kind }) => kind !== 'presence'));
  byId('out').hidden = empty || active.standing !== 'out';
  setText(byId('out-text'), active?.standing === 'out' ? explain(active.refusal) : '');
  byId('blank').hidden = !empty;
  if (!empty) return;
  const button = (label, onclick, kind = 'primary') => el('button', { type: 'button', class: kind, onclick }, label);
  const [title, text, actions] = !active ? [words.lobby_title, [words.lobby], [
    wide.matches ? null : button(words.look_around, () => drawer.open(byId('rooms-place'))), button(words.create_room, () => newRoom.open(), wide.matches ? 'primary' : 'quiet'),
  ]] : active.standing === 'out' ? [words.out_title, [explain(active.refusal)], [button(words.back_to_room, () => { enterRoom(active.name); })]]
    : active.kind === 'whisper' ? [words.empty_whisper_title, sentence(words.whisper_note, active.name), []]
      : active.standing === 'joining' ? ['', [words.joining], []]
        : [words.empty_room_title, [words.empty_room], []];
  const key = `${active?.key} ${active?.standing} ${active?.refusal} ${wide.matches}`;
  if (byId('blank').dataset.key === key) return;
  byId('blank').dataset.key = key;
  setText(byId('blank-title'), title);
  byId('blank-title').hidden = !title;
  byId('blank-text').replaceChildren(...text);
  byId('blank-actions').replaceChildren(...actions.filter(Boolean));
}

function renderState() {
  const { name, attempt } = chat.state;
  const shown = name === 'connecting' && attempt ? 'reconnecting' : name;
  byId('state').className = `state is-${shown}`;
  setText(byId('state'), words[shown]);
  const endsSoon = shown === 'connected' && me.session?.renewalRefused;
  byId('banner').hidden = (shown === 'connected' && !endsSoon) || shown === 'connecting';
  byId('banner-action').hidden = endsSoon;
  setText(byId('banner-text'), shown === 'closed' ? explain(chat.state.code)
    : endsSoon ? words.renewal_refused(timeOf(new Date(me.session.expiresAt))) : problemOf(chat.state.code, words.lost));
  setText(byId('banner-action'), shown === 'closed' ? words.enter_again : words.try_now);
  renderCountdown();
  const seats = active?.kind === 'room' && active.standing === 'in' && shown === 'connected';
  setText(byId('seats'), seats ? words.seats(count(active.present), rooms.has(active.name) && count(rooms.get(active.name).max_users)) : '');
  renderBlank();
}

/** Not in the live region: a screen reader would count along. */
function renderCountdown() {
  const { name, retryAt } = chat?.state ?? {};
  const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
  setText(byId('banner-time'), name === 'reconnecting' ? words.retry_in(seconds) : name === 'connecting' ? words.retrying : '');
}

function renderLists() {
  const all = [...conversations.values()];
  lists.showPlaces(all, active, [...rooms.values()].filter(({ name }) => !conversations.has(keyOf('room', name))));
  if (active?.kind === 'room') lists.showPeople(active, { name: chat.username, guest: me.guest });
}

function renderTitle() {
  const unread = [...conversations.values()].reduce((sum, conversation) => sum + conversation.unread, 0);
  showBadge(byId('unread-all'), unread - (active?.unread ?? 0));
  document.title = `${unread ? `(${unread}) ` : ''}${active ? `${active.name} · ` : ''}${words.title}`;
}

// Wiring

function setUp() {
  translate(document);
  document.title = words.title;
  byId('composer').addEventListener('submit', say);
  byId('text').addEventListener('keydown', textKey);
  byId('text').addEventListener('input', textChanged);
  byId('find-room').addEventListener('input', changed);
  byId('open-rooms').addEventListener('click', () => { chat.listRooms(); drawer.open(byId('rooms-place')); });
  byId('open-people').addEventListener('click', () => drawer.open(byId('people-place')));
  byId('out-action').addEventListener('click', () => enterRoom(active.name));
  byId('leave').addEventListener('click', () => leave(active));
  byId('create-room').addEventListener('click', () => { drawer.close(); newRoom.open(); });
  byId('sign-out').addEventListener('click', () => leaveHouse());
  byId('banner-action').addEventListener('click', () => (chat.state.name === 'closed' ? leaveHouse() : chat.retryNow()));
  document.addEventListener('visibilitychange', () => { if (chat) { log.sync(); markRead(); changed(); } });
  wide.addEventListener('change', changed);
  setInterval(renderCountdown, 500);
  setInterval(() => document.visibilityState === 'visible' && chat?.listRooms(), ROOM_LIST_EVERY_MS);
  addEventListener('beforeunload', (event) => {
    const unsent = [...conversations.values()].some(({ outgoing }) => [...outgoing.values()].some(({ status }) => status === 'pending'));
    if (unsent) event.preventDefault();
  });

  entry.preset({ name: query.get('username') ?? recall('localStorage', 'sarang.name'), room: query.get('room') });
  const session = Session.recall();
  const stay = recall('sessionStorage', 'sarang.session');
  const guest = stay?.account === false && (query.get('username') ?? stay.name) === stay.name ? stay.name : null;
  if (session || guest) {
    entry.openForReturning();
    comeBack(session ? { name: session.username, session } : { name: guest, session: null });
  } else {
    entry.open({ account: stay?.account && stay.name });
  }
}

setUp();
