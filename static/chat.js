// The chat page: what it knows (conversations, rooms, people), and how that gets onto the screen.
// sarang.js speaks with the server, entry.js asks who comes, session.js keeps whoever signed in signed in, log.js shows
// a conversation (conversation.js), lists.js the rooms and people at its sides, composer.js has the field to write in, view.js
// the small pieces, words.js the words.

import { Sarang, nameOf } from './sarang.js';
import { Session } from './session.js';
import { Entry, guestKey } from './entry.js';
import { Lists, NewRoom, showBadge } from './lists.js';
import { append, begin, erase, isDeleted, isWanted, keyOf, settleSent } from './conversation.js';
import { Log } from './log.js';
import { draft, setDraft, setUpComposer, written } from './composer.js';
import { count, explain, explainPutOut, timeOf, translate, words } from './words.js';
import { bdi, byId, el, icon, notify, recall, remember, seal, sentence, setText, setUpDrawer } from './view.js';

const ROOM_LIST_EVERY_MS = 20_000;
/** The close code of a connection that is one too many of its user. */
const TOO_MANY_CONNECTIONS = 1013;
/** Of one that a moderator ended. */
const PUT_OUT = 4006;

/** @typedef {import('./conversation.js').Conversation} Conversation */

/**
 * @typedef {object} Who   @property {string} name
 * @property {?Session} session  of an account; a guest has none @property {boolean} [guest]  is marked as one
 */

/** @type {?Who} */ let me = null;
/** @type {?Sarang} */ let chat = null;
/** @type {Map<string, Conversation>} */ const conversations = new Map();
/** @type {?Conversation} */ let active = null;
/** name → {name, max_users, users}, as the server lists them */ let rooms = new Map();
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
  rooms: [...conversations.values()].filter(isWanted).map(({ name }) => name),
  active: active && isWanted(active) ? active.name : null,
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
  connect(who);
  if (who.session) startSession();
  for (const room of roomsToJoin) enterRoom(room, room === roomToShow);
}

/** @param {Who} who */
function connect(who) {
  me = who;
  chat = new Sarang({ url: () => socketUrl(who), key: who.session ? undefined : guestKey(who.name), ticketed: Boolean(who.session) });
  listen(chat);
}

/** Whoever was put out asks to be let in again, into the rooms they were in. */
function tryAgain() {
  connect(me);
  for (const conversation of conversations.values()) {
    if (isWanted(conversation) && conversation.standing !== 'out') chat.join(conversation.name);
  }
  stateChanged(chat.state);
  changed();
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
  setDraft('');
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
  on('join_failed', ({ room, code, ...why }) => refuse(room, why.reason ? explainPutOut('room', why) : explain(code)));
  on('room_left', roomLeft);
  on('room_list', (detail) => { rooms = new Map(detail.rooms.map((room) => [room.name, room])); });
  on('chat', (detail) => heard(conversations.get(keyOf('room', detail.room)), detail, detail.username));
  on('whisper', (detail) => heard(whispersWith(detail.from === source.username ? detail.to : detail.from), detail, detail.from));
  on('message', messageChanged);
  on('deleted', deleted);
  on('user_joined', (detail) => presence(detail, true));
  on('user_left', (detail) => presence(detail, false));
  on('room_users', ({ room, count: present }) => { const conversation = conversations.get(keyOf('room', room)); if (conversation) conversation.present = present; });
  on('error', ({ code }) => notify(explain(code)));
}

/** Why there is no connection, when another will be tried. */
const problemOf = (code, otherwise) => (code === TOO_MANY_CONNECTIONS ? explain(code) : otherwise);

/** Why there is no connection, and none will be tried. */
const explainEnd = ({ code, ...why }) => (code === PUT_OUT ? explainPutOut('house', why) : explain(code));

function stateChanged(state) {
  for (const conversation of conversations.values()) conversation.waiting = state.name !== 'connected';
  if (welcomed || me.session?.ended) return;
  if (state.name === 'closed') leaveHouse({ problem: explainEnd(me.session && state.code === 4001 ? { code: 'ticket' } : state), account: me.session && me.name });
  else if (state.name === 'reconnecting') entry.problem(problemOf(state.code, words.unreachable));
}

function roomJoined({ room, messages, first, gap, online_users: others, guests = [], online_count: present }) {
  const conversation = conversations.get(keyOf('room', room));
  if (!conversation) return;
  // Coming back after a refusal: the history is told from its start again.
  const again = first && conversation.items.length > 0;
  if (again) conversation.items = [];
  Object.assign(conversation, { standing: 'in', putOut: false, people: new Map(others.map((name) => [name, guests.includes(name)])), present });
  if (gap && conversation.items.at(-1)?.kind !== 'gap') append(conversation, { kind: 'gap' });
  for (const message of messages) {
    if (message.type === 'deleted') append(conversation, { kind: 'deleted', position: message.position });
    else heard(conversation, message, message.username, first);
  }
  settleSent(conversation, chat.username);
  if (again && conversation === active) log.show(active);
  if (conversation === active) showParts();
  rememberSession();
  chat.listRooms();
}

function roomLeft({ room, reason, until }) {
  if (reason) refuse(room, explainPutOut('room', { reason, until }), true);
  else forget(conversations.get(keyOf('room', room)));
}

function deleted({ room, position }) {
  const conversation = conversations.get(keyOf('room', room));
  const item = conversation && erase(conversation, position);
  if (item && conversation === active) log.replace(item);
}

function heard(conversation, { id, content, timestamp, position, gap, guest = false }, from, past = false) {
  if (!conversation || conversation.shown.delete(id)) return;
  if (gap) append(conversation, { kind: 'gap' });
  conversation.outgoing.delete(id);
  const mine = from === chat.username;
  const item = append(conversation, { kind: 'message', from, guest, mine, content, position, at: new Date(timestamp) });
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
  if (message.kind === 'whisper' || isDeleted(conversation, message.position)) settleSent(conversation, chat.username);
}

// Conversations

const conversationOf = ({ kind, room, to }) => conversations.get(kind === 'chat' ? keyOf('room', room) : keyOf('whisper', to));
const isRead = (conversation) => conversation === active && document.visibilityState === 'visible' && log.atEnd;

function conversation(kind, name) {
  const key = keyOf(kind, name);
  if (!conversations.has(key)) conversations.set(key, begin(kind, name, chat.state.name !== 'connected'));
  return conversations.get(key);
}

const whispersWith = (name) => conversation('whisper', name);

function enterRoom(name, andShow = true) {
  const room = conversation('room', nameOf(name));
  if (room.standing === 'out') Object.assign(room, { standing: 'joining', putOut: false });
  chat.join(room.name);
  if (andShow) show(room);
}

function refuse(name, refusal, putOut = false) {
  const room = conversations.get(keyOf('room', name));
  if (room) Object.assign(room, { standing: 'out', refusal, putOut, people: new Map() });
  if (room === active) showParts();
  rememberSession();
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
    active.draft = draft();
    active.unreadFrom = null;
  }
  const text = active === conversation ? draft() : conversation?.draft ?? '';
  active = conversation;
  if (!welcomed) return;
  setDraft(text);
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
  const content = written();
  if (!content || !active) return;
  const message = active.kind === 'room' ? chat.say(active.name, content) : chat.whisper(active.name, content);
  active.outgoing.set(message.id, message);
  active.unreadFrom = null;
  setDraft('');
  log.clearMark();
  log.atEnd = true;
  changed();
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
  byId('out-action').hidden = chat.state.name === 'closed'; // first the connection
  setText(byId('out-text'), active?.standing === 'out' ? active.refusal : '');
  byId('blank').hidden = !empty;
  if (!empty) return;
  const button = (label, onclick, kind = 'primary') => el('button', { type: 'button', class: kind, onclick }, label);
  const [title, text, actions] = !active ? [words.lobby_title, [words.lobby], [
    wide.matches ? null : button(words.look_around, () => drawer.open(byId('rooms-place'))), button(words.create_room, () => newRoom.open(), wide.matches ? 'primary' : 'quiet'),
  ]] : active.standing === 'out' ? [words.out_title, [active.refusal], [button(words.back_to_room, () => { enterRoom(active.name); })]]
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
  setText(byId('banner-text'), shown === 'closed' ? explainEnd(chat.state)
    : endsSoon ? words.renewal_refused(timeOf(new Date(me.session.expiresAt))) : problemOf(chat.state.code, words.lost));
  setText(byId('banner-action'), shown !== 'closed' ? words.try_now : chat.state.code === PUT_OUT ? words.try_again : words.enter_again);
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
  if (active?.kind === 'room') lists.showPeople(active, { name: chat.username ?? me.name, guest: me.guest });
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
  setUpComposer(say);
  byId('find-room').addEventListener('input', changed);
  byId('open-rooms').addEventListener('click', () => { chat.listRooms(); drawer.open(byId('rooms-place')); });
  byId('open-people').addEventListener('click', () => drawer.open(byId('people-place')));
  byId('out-action').addEventListener('click', () => enterRoom(active.name));
  byId('leave').addEventListener('click', () => leave(active));
  byId('create-room').addEventListener('click', () => { drawer.close(); newRoom.open(); });
  byId('sign-out').addEventListener('click', () => leaveHouse());
  byId('banner-action').addEventListener('click', () => (chat.state.name !== 'closed' ? chat.retryNow() : chat.state.code === PUT_OUT ? tryAgain() : leaveHouse()));
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
