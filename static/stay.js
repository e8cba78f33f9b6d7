// A stay in the house, from its door to its end: who comes in and how, the connection, the session of whoever signed in,
// and what leads a reload of the page back to where it was.

import { Sarang } from './sarang.js';
import { Session } from './session.js';
import { Entry, guestKey } from './entry.js';
import { hearing, listen } from './hearing.js';
import { house } from './house.js';
import { isWanted } from './conversation.js';
import { explain, explainPutOut, words } from './words.js';
import { byId, recall, remember, seal } from './view.js';

/** The close code of a connection that is one too many of its user. */
const TOO_MANY_CONNECTIONS = 1013;
/** Of one that a moderator ended. */
const PUT_OUT = 4006;
/** Of one whose ticket, or name, the server did not take. */
const NOT_LET_IN = 4001;

/** @typedef {import('./house.js').Who} Who */

const query = new URLSearchParams(location.search);
const entry = new Entry({ enterAsGuest: (name) => comeBack({ name, session: null }), signedIn });

/** A reload of the tab leads back into the rooms. */
const rememberStay = () => house.chat && remember('sessionStorage', 'sarang.session', {
  name: house.me.name,
  account: Boolean(house.me.session),
  rooms: [...house.conversations.values()].filter(isWanted).map(({ name }) => name),
  active: house.active && isWanted(house.active) ? house.active.name : null,
});

// Coming in

/** Where to connect to, asked for afresh before each attempt. @param {Who} who */
async function socketUrl({ name, session }) {
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const identity = session ? `ticket=${encodeURIComponent(await session.ticket())}` : `username=${encodeURIComponent(name)}`;
  return `${url}?${identity}`;
}

/** @param {Who} who */
function connect(who) {
  house.me = who;
  house.chat = new Sarang({ url: () => socketUrl(who), key: who.session ? undefined : guestKey(who.name), ticketed: Boolean(who.session) });
  const on = hearing(house.chat);
  on('state', stateChanged);
  on('welcome', ({ guest = false }) => { house.me.guest = guest; if (!house.welcomed) showHouse(); house.chat.listRooms(); });
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

/** Into the rooms of before the tab was reloaded or a session ended, and the one that the address names. @param {Who} who */
function comeBack(who) {
  const stay = recall('sessionStorage', 'sarang.session');
  const isTheirs = stay?.name === who.name && stay.account === Boolean(who.session);
  const named = query.get('room');
  const toShow = (isTheirs && stay.active) || named;
  house.clear();
  connect(who);
  if (who.session) startSession();
  for (const room of new Set([...(isTheirs ? stay.rooms : []), ...(named ? [named] : [])])) house.enterRoom(room, room === toShow);
}

function startSession() {
  const { session } = house.me;
  session.start({
    extend: (ticket) => house.chat.extend(ticket),
    renewalRefused: () => house.changed(),
    // The chat is not ended, only without tickets: what was not sent waits for its author.
    ended: (reason) => house.me?.session === session && showEntry({ reason: words.ended[reason], account: house.me.name }),
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
  entry.open(why);
}

export function leaveHouse(why) {
  house.clear();
  remember('sessionStorage', 'sarang.session', null);
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
  if (state.name === 'closed') leaveHouse({ problem: explainEnd(me.session && state.code === NOT_LET_IN ? { code: 'ticket' } : state), account: me.session && me.name });
  else if (state.name === 'reconnecting') entry.problem(problemOf(state.code, words.unreachable));
}

/** Begins where the page was before it was reloaded, or at the door. */
export function begin() {
  house.on('moved', rememberStay);
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
