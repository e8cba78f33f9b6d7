// Being called while one looks elsewhere: a message that mentions us, or a whisper, notifies, and makes a sound for those who want one.
// Of a whisper, the notification says only whose it is: it may stand on a locked screen. Nobody is asked for permission before there was
// a call to miss; what was chosen is in the settings.

import { house } from './house.js';
import { isMuted, onMutingChange, setMuted } from './muting.js';
import { playTone } from './tone.js';
import { showOnIcon } from './page-icon.js';
import { countUnread } from './badges.js';
import { settings } from './settings.js';
import { recall, remember } from './storage.js';
import { announce, showNotice } from './notices.js';
import { offer } from './actions.js';
import { speak } from './spoken.js';
import { byId, el } from './view.js';
import { words } from './words-calls.js';
import { language } from './language.js';

const BODY_CHARS_MAX = 140;
/** A conversation that calls more often replaces its notification without a stir. */
const STIR_EVERY_MS = 10_000;
const SOUND_EVERY_MS = 5_000;
const SPEAK_EVERY_MS = 5_000;
/** The same call reaches each tab of a person, each at its own time: the one that took it keeps it from the others so long. */
const TAKEN_MS = 30_000;
/** Whether this browser was asked, and answered. */
const ASKED = 'sarang.asked';

/** @typedef {import('./conversation.js').Conversation} Conversation */
/** @typedef {import('./conversation.js').Item} Item */

/** By tag. @type {Map<string, {notification: Notification, conversation: Conversation, at: number}>} */
const shown = new Map();
let lastSound = -Infinity;
let lastSpoken = -Infinity;
let missed = false; // a call while the page was hidden

const isHidden = () => document.visibilityState === 'hidden';
const isPossible = () => 'Notification' in window;

/** In some browsers of telephones, only service workers may notify: there, the constructor fails before anything is asked. */
function isConstructible() {
  if (Notification.permission === 'granted') return true;
  try {
    new Notification('').onerror = () => {};
    return true;
  } catch {
    return false;
  }
}

/** What something is known by in every tab, without telling what it is: a number of 32 bits. */
function known(...parts) {
  let hash = 0x811c9dc5;
  for (const character of JSON.stringify([house.chat.username, ...parts])) hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193) >>> 0;
  return hash;
}

const nameOfSight = ({ kind, name }) => `sarang.seen ${kind === 'room' ? known(name) : known()}`;

/** What this tab shows, for the others: locks that are held as long as it is looked at, and end with it. @type {Map<string, () => void>} */
const sights = new Map();

function showSights() {
  if (!navigator.locks) return; // without https; there, nothing can notify either
  const isSeen = !isHidden() && house.welcomed && house.chat?.state.name === 'connected';
  const rooms = isSeen ? [...house.conversations.values()].filter(({ kind, standing }) => kind === 'room' && standing === 'in') : [];
  const names = new Set(isSeen ? [nameOfSight({ kind: 'whisper' }), ...rooms.map(nameOfSight)] : []);
  for (const [name, end] of sights) {
    if (names.has(name)) continue;
    end();
    sights.delete(name);
  }
  for (const name of names) {
    if (sights.has(name)) continue;
    const held = new Promise((resolve) => { sights.set(name, resolve); });
    navigator.locks.request(name, { mode: 'shared' }, () => held).catch(() => {});
  }
}

/** Whether another tab is looked at that is in this conversation: then it answers. */
async function isSeenElsewhere(conversation) {
  const sight = nameOfSight(conversation);
  const { held } = await navigator.locks?.query().catch(() => ({})) ?? {};
  return Boolean(held?.some(({ name }) => name === sight));
}

/** @returns {Promise<boolean>}  false when another tab has taken this call */
const take = (call) => new Promise((resolve) => {
  if (!navigator.locks) return resolve(true);
  navigator.locks.request(`sarang.call ${call}`, { ifAvailable: true }, (lock) => {
    resolve(Boolean(lock));
    return lock && new Promise((end) => { setTimeout(end, TAKEN_MS); });
  }).catch(() => resolve(true));
});

async function heard({ conversation, item, past }) {
  if (past || item.mine || isMuted(conversation) || (!item.mentionsUs && conversation.kind !== 'whisper')) return;
  const call = known(conversation.key, item.from, item.position ?? item.at.getTime());
  if (isHidden()) {
    missed = true;
    if (await isSeenElsewhere(conversation)) return;
  }
  if (!(await take(call)) || house.isRead(conversation) || house.conversations.get(conversation.key) !== conversation) return;
  if (settings.get('sound') && performance.now() - lastSound > SOUND_EVERY_MS) {
    lastSound = performance.now();
    playTone();
  }
  if (isHidden() && settings.get('notifications')) notify(conversation, item);
  // What is said in the conversation that is shown is read out with it.
  if (!isHidden() && conversation !== house.active && performance.now() - lastSpoken > SPEAK_EVERY_MS) {
    lastSpoken = performance.now();
    speak(conversation.kind === 'whisper' ? words.whisper_from(item.from) : words.called_in(item.from, conversation.name));
  }
}

/** Whispers of people we never wrote to share one notification: nobody fills a screen with thirty. */
const tagOf = ({ key, kind, familiar }) => (kind === 'whisper' && !familiar ? 'strangers' : key);

/** @param {Conversation} conversation @param {Item} item */
function notify(conversation, item) {
  if (!isPossible() || Notification.permission !== 'granted') return;
  const tag = tagOf(conversation);
  const before = shown.get(tag);
  const isStir = !before || performance.now() - before.at > STIR_EVERY_MS;
  const [title, body] = conversation.kind === 'whisper' ? [words.whisper_from(item.from), words.whisper_hidden]
    : [words.called_by(item.from, conversation.name), excerpt(item.content)];
  let notification;
  try {
    notification = new Notification(title, { body, tag: `sarang ${tag}`, renotify: isStir && Boolean(before), silent: true, lang: language, dir: 'auto' });
  } catch {
    return;
  }
  notification.onclick = () => {
    window.focus();
    notification.close();
    if (house.conversations.get(conversation.key) === conversation) house.show(conversation);
  };
  shown.set(tag, { notification, conversation, at: isStir ? performance.now() : before.at });
}

const excerpt = (content) => {
  const characters = [...content.trim().replace(/\s+/gu, ' ').slice(0, 2 * BODY_CHARS_MAX)];
  return characters.length > BODY_CHARS_MAX ? `${characters.slice(0, BODY_CHARS_MAX).join('')}…` : characters.join('');
};

function changed() {
  const all = [...house.conversations.values()];
  const { unread, mentioned } = countUnread(all);
  showSights();
  showOnIcon(house.welcomed ? Math.max(unread, mentioned) : 0);
  for (const [tag, { notification, conversation }] of shown) {
    if (conversation.unread && house.conversations.get(conversation.key) === conversation) continue;
    notification.close();
    shown.delete(tag);
  }
}

// Asking

/** Why there are no notifications; where one wished for them, which may be a dialog that covers the page. */
function tell(text) {
  const switches = document.querySelector('.settings-sheet[open] .switches');
  switches?.querySelector('.problem')?.remove();
  if (!switches) announce(text);
  else switches.append(el('p', { class: 'problem', role: 'alert' }, text));
}

/** Asks the browser, which asks the person; only ever after a click. */
async function permit() {
  remember('localStorage', ASKED, true);
  const answer = isPossible() && isConstructible() ? await Notification.requestPermission() : 'denied';
  if (answer === 'granted') return true;
  tell(isPossible() && isConstructible() ? words.notifications_refused : words.notifications_missing);
  return false;
}

async function wishChanged(isWished) {
  byId('ask').replaceChildren();
  // Every tab hears of the wish; the one it was made in asks.
  if (isWished && document.hasFocus() && !(await permit())) settings.set('notifications', false);
}

/** After a call was missed, and once only. */
function offerNotifications() {
  if (isHidden() || !missed) return;
  missed = false;
  if (!isPossible() || Notification.permission !== 'default' || settings.get('notifications') || recall('localStorage', ASKED) || !isConstructible()) return;
  showNotice('ask', [words.ask_notifications], {
    action: { label: words.notify_me, run: () => settings.set('notifications', true) }, close: words.no_thanks, onclose: () => remember('localStorage', ASKED, true), stays: true,
  });
}

// Muting

const muteAction = (conversation) => (conversation.kind === 'room' && {
  name: 'mute', label: isMuted(conversation) ? words.unmute : words.mute, section: 'calls',
  run: () => {
    setMuted(conversation.name, !isMuted(conversation));
    announce(isMuted(conversation) ? words.muted_done : words.unmuted_done);
  },
});

export function setUpCalling() {
  house.on('heard', heard);
  house.on('change', changed);
  house.on('show', () => house.changed()); // once it has been read
  house.on('out', changed);
  offer('place', (conversation) => [muteAction(conversation)]);
  onMutingChange(() => house.changed());
  if (settings.get('notifications') && !(isPossible() && Notification.permission === 'granted')) settings.set('notifications', false); // it was taken back since
  settings.onChange('notifications', wishChanged);
  settings.onChange('sound', (isOn) => isOn && document.hasFocus() && playTone());
  document.addEventListener('visibilitychange', () => { showSights(); offerNotifications(); });
}
