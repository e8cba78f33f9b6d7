// Where one is, as the browser knows it: each room has an address (`?room=NAME`), and each visit of a conversation an entry in the
// history of the tab. Back closes what lies over the page (the drawer, a dialog), then goes to the conversation before; from the
// first one it leaves as from any page. A whisper has an entry but no address: with whom one whispers is nobody's to read.

import { house } from './house.js';

/** The member of `history.state` that is ours. */
const OURS = 'sarang';

/**
 * @typedef {object} Entry  What the history knows of a visit.
 * @property {string} key    of the conversation; empty: of none
 * @property {number} index  counts the entries of this page @property {?string} before  key of the entry before
 * @property {boolean} over  something lies over the page
 */

/** The entry we were on last: tells Back from Forward. */ let index = 0;
/** The next show belongs to the entry that is there already. */ let arriving = true;
/** We have gone back by ourselves, which is told as any Back is. */ let unwinding = false;

/** @returns {?Entry} */
const entry = () => history.state?.[OURS] ?? null;
const keyShown = () => house.active?.key ?? '';
const dialogs = () => [...document.querySelectorAll('dialog[open]')];

/** What a link, a reload or a return to this page asks for. @returns {{room: ?string, at: ?string, key: ?string}} */
export function wanted() {
  const query = new URLSearchParams(location.search);
  return { room: query.get('room') || null, at: query.get('at'), key: entry()?.key ?? null };
}

function address(key) {
  const url = new URL(location.href);
  url.hash = '';
  url.searchParams.delete('at');
  const { kind, name } = house.conversations.get(key) ?? {};
  if (kind === 'room') url.searchParams.set('room', name);
  else url.searchParams.delete('room');
  return url.href;
}

/** @param {'pushState'|'replaceState'} how  @param {Partial<Entry>} fields */
function write(how, { key, index: at = 0, before = null, over = false }) {
  index = at;
  try { history[how]({ [OURS]: { key, index: at, before, over } }, '', address(key)); } catch { /* too many in a short time, says Safari */ }
}

const correct = (here) => write('replaceState', { ...here, key: keyShown(), over: false });

function goBack() {
  unwinding = true;
  history.back();
}

function shown() {
  const key = keyShown();
  const here = entry();
  const isLeft = here?.key && !house.conversations.has(here.key);
  if (arriving || !here) write('replaceState', { ...here, key, over: false });
  else if (here.key === key) { if (!here.over) correct(here); } else if (here.over) correct(here);
  else if (!isLeft) write('pushState', { key, index: here.index + 1, before: here.key });
  else if (here.before === key && here.index > 0) goBack();
  else correct(here);
  arriving = false;
}

/** What is opened over the page is an entry of its own, until it is closed or Back is pressed. */
function overlaid() {
  if (unwinding) return; // until we know where we are
  const here = entry();
  const isOver = dialogs().length > 0;
  if (isOver && !here?.over) write('pushState', { key: here?.key ?? keyShown(), index: (here?.index ?? 0) + 1, before: here?.key ?? keyShown(), over: true });
  else if (!isOver && here?.over) goBack();
}

function travelled() {
  const there = entry();
  const isBack = (there?.index ?? 0) < index;
  index = there?.index ?? 0;
  if (unwinding) {
    unwinding = false;
    if (there && (there.over || there.key !== keyShown())) correct(there);
    overlaid(); // something may have been opened meanwhile
    return;
  }
  const open = dialogs();
  for (const dialog of open) dialog.close();
  if (!there) return;
  // At the door there is nowhere to go but out.
  if (!house.welcomed) { if (isBack && there.index > 0 && !open.length) history.back(); return; }
  const conversation = house.conversations.get(there.key) ?? null;
  const isGone = there.key !== '' && !conversation;
  if (!isGone && there.key !== keyShown()) {
    if (there.over) write('replaceState', { ...there, over: false });
    house.show(conversation);
  } else if (!open.length && isBack && there.index > 0) {
    history.back(); // a room that was left, or the same one again: nobody would see that they went there
  } else {
    correct(there);
  }
}

/** The next conversation that is shown is where one came to, and no step from where one was. */
export function arrive() {
  arriving = true;
}

export function setUpPlaces() {
  if (entry()?.over) write('replaceState', { ...entry(), over: false });
  index = entry()?.index ?? 0;
  house.on('welcomed', arrive);
  house.on('show', () => house.welcomed && shown());
  house.on('left', () => write('replaceState', { ...entry(), key: '', over: false }));
  addEventListener('popstate', travelled);
  new MutationObserver(overlaid).observe(document.body, { subtree: true, attributes: true, attributeFilter: ['open'] });
}

