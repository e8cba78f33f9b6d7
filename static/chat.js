// The chat page: how what it knows gets onto the screen, and what is done there gets to whom it concerns.
// sarang.js speaks with the server, hearing.js hears what it tells, house.js keeps it; stay.js lets people in and out, with entry.js
// (the door) and session.js (whoever signed in). log.js shows a conversation (conversation.js), lists.js the rooms and people at its
// sides, composer.js has the field to write in (completion.js: names behind an @), text.js shows what was written, calling.js calls
// whoever looks elsewhere, view.js has the small pieces, words.js the words.

import { messageButton, offer, personButton, setUpActions } from './actions.js';
import { isHidden } from './hiding.js';
import { copyText, isShown, setUpPeople } from './people.js';
import { setUpCalling } from './calling.js';
import { isMuted } from './muting.js';
import { setUpModeration } from './moderation.js';
import { openSettings } from './settings-dialog.js';
import { countUnread, showBadge, titleOf } from './badges.js';
import { Lists, NewRoom } from './lists.js';
import { announceProblem } from './notices.js';
import { keyOf } from './conversation.js';
import { house } from './house.js';
import { begin, explainEnd, leaveHouse, nameOfRecovery, problemOf, recover } from './stay.js';
import { Log } from './log.js';
import { namesIn, othersIn } from './mentions.js';
import { Completion } from './completion.js';
import { earlier } from './hearing.js';
import { setUpKeeping } from './keep.js';
import { linkTo } from './permalink.js';
import { setUpPlaces } from './places.js';
import { setUpTabs } from './tabs.js';
import { draft, setDraft, setUpComposer, written } from './composer.js';
import { setUpCopying } from './copying.js';
import { followKeyboard } from './keyboard.js';
import { speak } from './spoken.js';
import { count, explain, timeOf, translate, words } from './words.js';
import { words as ofLog } from './words-log.js';
import { words as callWords } from './words-calls.js';
import { words as ofPeople } from './words-people.js';
import { bdi, byId, el, focusTitle, guestMark, icon, sentence, setText, setUpDrawer } from './view.js';

const wide = matchMedia('(min-width: 60rem)');
const fine = matchMedia('(pointer: fine)');
const drawer = setUpDrawer(wide);
const lists = new Lists({
  show: (key) => house.show(house.conversations.get(key)),
  enter: (name) => house.enterRoom(name),
  whisper: (name, guest) => house.whisperTo(name, guest),
  menuOf: personButton,
});
const log = new Log({
  retry: (message) => { house.chat.retry(message); house.changed(); },
  discard: (message) => { house.conversationOf(message)?.outgoing.delete(message.id); house.changed(); log.focus(); },
  names: () => namesIn(house.active, house.chat.username),
  reachedEnd: () => { house.markRead(); house.changed(); },
  isShown,
  menuOf: messageButton,
  history: earlier,
});
const completion = new Completion(() => othersIn(house.active, house.chat.username).filter(({ name, guest }) => !isHidden(name, guest)));
const newRoom = new NewRoom({ enter: (name) => house.enterRoom(name), headers: () => house.me.session?.headers ?? {} });

// Another conversation, or none

function show({ former }) {
  const { active } = house;
  if (former && former !== active) former.place = log.place;
  setDraft(active?.draft ?? '');
  completion.close();
  showLog();
  if (!house.welcomed) return;
  showParts();
  drawer.close();
  render();
  // A touch screen would answer focus in a text field with its keyboard.
  if (active && active.standing !== 'out' && fine.matches) byId('text').focus();
  else focusTitle();
}

/** The log of what is shown now, at the place where one was reading; what came since, and is marked as new, is read first. */
function showLog() {
  const { active } = house;
  const place = active?.standing === 'joining' ? null : active?.place; // nothing has been told yet
  if (place) active.place = null;
  log.show(active, place && !place.isLinked && active.unreadFrom === null ? place : null);
  if (place?.isLinked) log.openAt(active.name, place.position);
}

/** The parts around the log that depend on which conversation it is, and how we stand to it. */
function showParts() {
  const { active } = house;
  const isWhisper = active?.kind === 'whisper';
  byId('house').classList.toggle('whispering', isWhisper);
  byId('place').replaceChildren(active ? bdi(active.name) : words.title);
  byId('place-mark').replaceChildren(...[guestMark(active?.guest)].filter(Boolean));
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

// Getting it onto the screen

function render() {
  if (!house.chat || !house.welcomed) return;
  if (document.visibilityState !== 'hidden') {
    log.sync();
    house.markRead();
    renderState();
    renderLists();
  }
  renderTitle(); // seen on the tab
}

function renderBlank() {
  const { active, chat } = house;
  const empty = !active || !(active.outgoing.size || active.items.some(isShown));
  byId('out').hidden = empty || active.standing !== 'out';
  byId('out-action').hidden = chat.state.name === 'closed'; // first the connection
  setText(byId('out-text'), active?.standing === 'out' ? active.refusal : '');
  byId('blank').hidden = !empty;
  if (!empty) return;
  const key = `${active?.key} ${active?.standing} ${active?.refusal} ${wide.matches}`;
  if (byId('blank').dataset.key === key) return;
  byId('blank').dataset.key = key;
  const [title, text, ...actions] = blankOf(active);
  setText(byId('blank-title'), title);
  byId('blank-title').hidden = !title;
  byId('blank-text').replaceChildren(...text);
  byId('blank-actions').replaceChildren(...actions);
}

/** What stands where there are no messages: the title, the text, and what can be done. @param {?import('./conversation.js').Conversation} active */
function blankOf(active) {
  const button = (label, onclick, kind = 'primary') => el('button', { type: 'button', class: kind, onclick }, label);
  const lookAround = () => {
    if (active) house.forget(active);
    if (!wide.matches) drawer.open(byId('rooms-place'));
  };
  if (!active) {
    const create = button(words.create_room, () => newRoom.open(), wide.matches ? 'primary' : 'quiet');
    return [words.lobby_title, [words.lobby], ...(wide.matches ? [create] : [button(words.look_around, lookAround), create])];
  }
  if (active.impossible) return [words.impossible_title, [active.refusal], button(words.look_around, lookAround)];
  if (active.standing === 'out') return [words.out_title, [active.refusal], button(words.back_to_room, () => house.enterRoom(active.name))];
  if (active.kind === 'whisper') return [words.empty_whisper_title, sentence(words.whisper_note, active.name)];
  if (active.standing === 'joining') return ['', [words.joining]];
  return [words.empty_room_title, [words.empty_room]];
}

function renderState() {
  const { active, chat, me, rooms } = house;
  const { name, attempt } = chat.state;
  const shown = name === 'connecting' && attempt ? 'reconnecting' : name;
  byId('state').className = `state is-${shown}`;
  setText(byId('state'), words[shown]);
  const endsSoon = shown === 'connected' && me.session?.renewalRefused;
  byId('banner').hidden = (shown === 'connected' && !endsSoon) || shown === 'connecting';
  byId('banner-action').hidden = endsSoon;
  setText(byId('banner-text'), shown === 'closed' ? explainEnd(chat.state)
    : endsSoon ? words.renewal_refused(timeOf(new Date(me.session.expiresAt))) : problemOf(chat.state.code, words.lost));
  setText(byId('banner-action'), nameOfRecovery(chat.state));
  renderCountdown();
  const seats = active?.kind === 'room' && active.standing === 'in' && shown === 'connected';
  byId('seats').parentElement.classList.toggle('has-seats', seats);
  setText(byId('seats'), seats ? words.seats(count(active.present), rooms.has(active.name) && count(rooms.get(active.name).max_users)) : '');
  byId('muted').hidden = !active || !isMuted(active);
  setText(byId('muted'), callWords.muted);
  renderBlank();
}

/** Not in the live region: a screen reader would count along. */
function renderCountdown() {
  const { name, retryAt } = house.chat?.state ?? {};
  const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
  setText(byId('banner-time'), name === 'reconnecting' ? words.retry_in(seconds) : name === 'connecting' ? words.retrying : '');
}

function renderLists() {
  const { active, chat, conversations, me, rooms } = house;
  const all = [...conversations.values()];
  lists.showPlaces(all, active, [...rooms.values()].filter(({ name }) => !conversations.has(keyOf('room', name))));
  if (active?.kind === 'room') lists.showPeople(active, { name: chat.username ?? me.name, guest: me.guest });
}

function renderTitle() {
  const { active, conversations } = house;
  const all = [...conversations.values()];
  const elsewhere = countUnread(all.filter((conversation) => conversation !== active));
  showBadge(byId('unread-all'), elsewhere.unread, elsewhere.mentioned);
  document.title = titleOf(active?.name, countUnread(all));
}

// Wiring

function say(event) {
  event.preventDefault();
  const content = written();
  if (!content) speak(byId('counter').textContent);
  if (!content || !house.say(content)) return;
  setDraft('');
  log.clearMark();
  log.atEnd = true;
  house.changed();
}

/** Where there is nothing to write in any more, that is told, and the focus that was there goes on. */
function standingChanged() {
  const { active } = house;
  const focused = document.activeElement;
  showParts();
  if (active?.place) showLog();
  if (active?.standing === 'out') speak(active.refusal);
  if (focused?.closest('[hidden]')) focusTitle();
}

function listen() {
  house.isAtEnd = () => log.showsEnd && !house.active?.place; // with a place, what was read last is not shown yet
  house.on('change', render);
  house.on('show', show);
  house.on('standing', standingChanged);
  house.on('history', () => log.show(house.active));
  house.on('replaced', ({ item }) => log.replace(item));
  house.on('hiding', () => log.filter());
  house.on('problem', ({ code }) => announceProblem(explain(code)));
  house.on('out', () => {
    drawer.close();
    newRoom.close();
    document.title = words.title;
  });
}

function setUp() {
  translate(document);
  translate(document, ofPeople, 'p');
  document.title = words.title;
  listen();
  setUpActions();
  setUpPeople();
  offer('message', (item) => [item.position && { name: 'link', label: ofLog.copy_link, run: () => log.copyLink(item) }]);
  // An installed page shows no address.
  offer('place', (place) => [place.kind === 'room' && !place.impossible && { name: 'link', label: ofLog.copy_room_link, run: () => copyText(linkTo(place.name)) }]);
  setUpModeration();
  byId('open-settings').addEventListener('click', () => { drawer.close(); openSettings({ withPeople: true }); });
  byId('entry-settings').addEventListener('click', () => openSettings());
  setUpComposer(say);
  setUpCalling();
  setUpCopying(byId('log-place'), () => house.chat.username);
  followKeyboard();
  setUpPlaces();
  setUpKeeping(() => log.place);
  setUpTabs();
  byId('skip').addEventListener('click', (event) => { event.preventDefault(); byId('text').focus(); });
  addEventListener('pageshow', ({ persisted }) => persisted && house.chat?.retryNow());
  byId('text').addEventListener('input', () => { if (house.active) house.active.draft = draft(); });
  byId('find-room').addEventListener('input', () => house.changed());
  byId('open-rooms').addEventListener('click', () => { house.chat.listRooms(); drawer.open(byId('rooms-place')); });
  byId('open-people').addEventListener('click', () => drawer.open(byId('people-place')));
  byId('out-action').addEventListener('click', () => house.enterRoom(house.active.name));
  byId('leave').addEventListener('click', () => house.leave(house.active));
  byId('create-room').addEventListener('click', () => { drawer.close(); newRoom.open(); });
  byId('sign-out').addEventListener('click', () => leaveHouse());
  byId('banner-action').addEventListener('click', recover);
  document.addEventListener('visibilitychange', () => { if (house.chat) { log.sync(); house.markRead(); house.changed(); } });
  wide.addEventListener('change', () => house.changed());
  setInterval(renderCountdown, 500);
  addEventListener('beforeunload', (event) => {
    const unsent = [...house.conversations.values()].some(({ outgoing }) => [...outgoing.values()].some(({ status }) => status === 'pending'));
    if (unsent) event.preventDefault();
  });
  begin();
}

setUp();
