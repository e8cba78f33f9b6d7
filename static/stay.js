// A stay in the house, from its door to its end: who comes in and how, the connection, the session of whoever signed in,
// and what leads a reload of the page, or a new tab, back to where it was.

import { Sarang, nameOf } from './sarang.js';
import { Session, whoMayEnter } from './session.js';
import { Entry, guestKey } from './entry.js';
import { hearing, listen } from './hearing.js';
import { house } from './house.js';
import { forget, restore } from './keep.js';
import { arrive, wanted } from './places.js';
import { isWanted, keyOf } from './conversation.js';
import { explain, explainPutOut, words } from './words.js';
import { recall, remember } from './storage.js';
import { byId, seal } from './view.js';

/** The close code of a connection that is one too many of its user. */
const TOO_MANY_CONNECTIONS = 1013;
/** Of one that a moderator ended. */
const PUT_OUT = 4006;
/** Of one whose ticket, or name, the server did not take. */
const NOT_LET_IN = 4001;

/** @typedef {import('./house.js').Who} Who */

/** As the page was called: later the address names the room that is shown. */
const query = new URLSearchParams(location.search);
const entry = new Entry({ enterAsGuest: (name) => comeBack({ name, session: null }), signedIn });

/** A reload of the tab leads back into the rooms. */
const rememberStay = () => house.chat && remember('sessionStorage', 'sarang.session', {
  name: house.me.name,
  account: Boolean(house.me.session),
  rooms: [...house.conversations.values()].filter(isWanted).map(({ name }) => name),
  shown: house.active && !house.active.putOut ? house.active.key : null,
});

/** What a reload of the tab goes by. @returns {?{name: string, account: boolean, rooms: string[], shown: ?string}}  null: nothing, or nothing that makes sense */
function recallStay() {
  const stay = recall('sessionStorage', 'sarang.session');
  return typeof stay?.name === 'string' && Array.isArray(stay.rooms) ? { ...stay, rooms: stay.rooms.filter((room) => room && typeof room === 'string') } : null;
}

// Coming in

/** Where to connect to, asked for afresh before each attempt. @param {Who} who */
async function socketUrl({ name, session }) {
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const identity = session ? `ticket=${encodeURIComponent(await session.ticket())}` : `username=${encodeURIComponent(name)}`;
  return `${url}?${identity}`;
}

/** Another tab has signed in: at the door, this one comes in with it. */
function signedInElsewhere() {
  const isAtDoor = !house.welcomed && (!house.me || house.me.session?.ended);
  const session = isAtDoor && Session.recall();
  if (session) signedIn(session);
}

/** @param {Who} who */
function connect(who) {
  house.me = who;
  house.chat = new Sarang({ url: () => socketUrl(who), key: who.session ? undefined : guestKey(who.name), ticketed: Boolean(who.session) });
  const on = hearing(house.chat);
  on('state', stateChanged);
  on('welcome', ({ guest = false }) => { house.me.guest = guest; if (!house.welcomed) showHouse(); house.chat.watchRooms(); });
  listen(house.chat);
}

/** Whoever signs in again goes on where their session ended, with all that was not sent yet. */
function signedIn(session) {
  const { me, chat } = house;
  if (me?.session?.ended && me.name === session.username && chat.state.name !== 'closed') {
    me.session = session;
    startSession();
    chat.retryNow();
  } else {
    comeBack({ name: session.username, session });
  }
}

/**
 * Into the rooms of before the tab was reloaded or a session ended, and the one that the address names, which is shown. Whoever
 * is new here comes into the lobby, where there is one. @param {Who} who
 */
function comeBack(who) {
  const stay = recallStay();
  const isTheirs = stay?.name === who.name && stay.account === Boolean(who.session);
  const former = house.me;
  house.clear();
  if (former && (former.name !== who.name || Boolean(former.session) !== Boolean(who.session))) house.tell('left'); // the address is of their stay
  const { room, key, at } = wanted();
  const named = room && nameOf(room);
  connect(who);
  if (who.session) startSession();
  for (const name of new Set([...(isTheirs ? stay.rooms : []), ...(named ? [named] : [])])) house.enterRoom(name, false);
  if (isTheirs) restore(who);
  else forget();
  const toShow = named ? keyOf('room', named) : isTheirs ? key ?? stay.shown : null;
  if (named && at) house.room(named).place = { position: at, isLinked: true };
  if (toShow) house.show(house.conversations.get(toShow));
  if (!isTheirs && !named) enterLobby();
}

async function enterLobby() {
  const { chat } = house;
  const { lobby } = entry.open ?? await whoMayEnter().catch(() => ({}));
  if (!lobby || house.chat !== chat || house.conversations.size) return;
  if (house.welcomed) arrive();
  house.enterRoom(lobby);
}

function startSession() {
  const { session } = house.me;
  session.start({
    extend: (ticket) => house.chat.extend(ticket),
    renewalRefused: () => house.changed(),
    // The chat is not ended, only without tickets: what was not sent waits for its author.
    ended: (reason) => {
      if (house.me?.session !== session) return;
      if (reason !== 'left') return showEntry({ reason: words.ended[reason], account: house.me.name });
      leaveHouse({ reason: words.ended.left });
      signedInElsewhere(); // as somebody else
    },
  });
}

function showHouse() {
  const { me, chat } = house;
  house.welcomed = true;
  if (!me.session) remember('localStorage', 'sarang.name', chat.username);
  entry.close();
  byId('house').hidden = false;
  byId('skip').hidden = false;
  byId('my-name').textContent = chat.username;
  byId('my-seal').replaceChildren(seal(chat.username));
  house.tell('welcomed');
  house.show(house.active);
}

// Going out

function showEntry(why) {
  house.welcomed = false;
  byId('house').hidden = true;
  byId('skip').hidden = true;
  house.tell('out');
  entry.leadsTo(wanted().room);
  entry.ask(why);
}

/** @param {object} [why]  the door says so  @param {boolean} [staysSignedIn]  in the other tabs */
export function leaveHouse(why, staysSignedIn = false) {
  const wasIn = house.welcomed;
  house.clear(staysSignedIn);
  remember('sessionStorage', 'sarang.session', null);
  if (wasIn) house.tell('left');
  showEntry(why);
}

// The connection

/** Whoever was put out asks to be let in again, into the rooms they were in. */
function tryAgain() {
  connect(house.me);
  for (const conversation of house.conversations.values()) {
    if (isWanted(conversation) && conversation.standing !== 'out') house.chat.join(conversation.name);
  }
  stateChanged(house.chat.state);
  house.changed();
}

/** Does what is offered while there is no connection. */
export function recover() {
  const { state } = house.chat;
  if (state.name !== 'closed') house.chat.retryNow();
  else if (state.code === PUT_OUT) tryAgain();
  else leaveHouse();
}

/** What that is called. @param {import('./sarang.js').State} state */
export const nameOfRecovery = ({ name, code }) => (name !== 'closed' ? words.try_now : code === PUT_OUT ? words.try_again : words.enter_again);

/** Why there is no connection, when another will be tried. */
export const problemOf = (code, otherwise) => (code === TOO_MANY_CONNECTIONS ? explain(code) : otherwise);

/** Why there is no connection, and none will be tried. */
export const explainEnd = ({ code, ...why }) => (code === PUT_OUT ? explainPutOut('house', why) : explain(code));

function stateChanged(state) {
  const { me } = house;
  for (const conversation of house.conversations.values()) conversation.waiting = state.name !== 'connected';
  if (house.welcomed || me.session?.ended) return;
  if (state.name === 'closed') {
    const isTicket = me.session && state.code === NOT_LET_IN;
    // Whoever is put out is signed in all the same, and the other tabs tell them why.
    leaveHouse({ problem: explainEnd(isTicket ? { code: 'ticket' } : state), account: me.session && me.name }, state.code === PUT_OUT);
  } else if (state.name === 'reconnecting') {
    entry.problem(problemOf(state.code, words.unreachable));
  }
}

/** Begins where the page was before it was reloaded, or at the door. */
export function begin() {
  house.on('moved', rememberStay);
  entry.preset(query.get('username') ?? recall('localStorage', 'sarang.name'));
  entry.leadsTo(wanted().room);
  Session.onSignIn(signedInElsewhere);
  const stay = recallStay();
  const guest = stay?.account === false && (query.get('username') ?? stay.name) === stay.name ? stay.name : null;
  const session = guest ? null : Session.recall(); // whoever is a guest in this tab stays one
  if (session || guest) {
    entry.openForReturning();
    comeBack(session ? { name: session.username, session } : { name: guest, session: null });
  } else {
    entry.ask({ account: stay?.account && stay.name });
  }
}
