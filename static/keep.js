// What a tab keeps of a stay while its page is elsewhere, on the dashboard or being reloaded: whispers (the server has none), drafts,
// where in a conversation one was reading, and how much of it is unread. It is kept in sessionStorage: another tab does not see it,
// and closing the tab or leaving the house lets it go.

import { append } from './conversation.js';
import { house } from './house.js';
import { recall, remember } from './storage.js';

const STORED = 'sarang.kept';
/** Kept in all, as UTF-16; browsers give an origin 5 MiB or more. What is oldest is not kept. */
const KEPT_BYTES_MAX = 1024 * 1024;

/** What still fits into a number of bytes: from the start of a list, up to the first that does not. */
function budget(bytes) {
  let left = bytes;
  return (list) => {
    const end = list.findIndex((value) => { left -= 2 * JSON.stringify(value).length; return left < 0; });
    return end < 0 ? list : list.slice(0, end);
  };
}

function save(placeShown) {
  const { me, active, conversations } = house;
  if (!me) return;
  const placeOf = (conversation) => (conversation === active && house.welcomed && active.standing !== 'joining' ? placeShown() : conversation.place);
  const all = [...conversations.values()].reverse();
  const whispers = all.filter(({ kind }) => kind === 'whisper');
  const fitting = budget(KEPT_BYTES_MAX);
  const byKey = (valueOf) => fitting(all.map((conversation) => [conversation.key, valueOf(conversation)]).filter(([, value]) => value));
  const kept = {
    name: me.name,
    account: Boolean(me.session),
    drafts: byKey(({ draft }) => draft),
    places: byKey(placeOf),
    unread: byKey((conversation) => house.tallyOf(conversation)),
    whispers: fitting(whispers.map(({ name, guest, familiar }) => ({ name, guest, familiar }))),
    messages: fitting(whispers
      .flatMap(({ name, items }) => items.filter(({ kind }) => kind === 'message').map((item) => ({ name, item })))
      .sort((a, b) => b.item.serial - a.item.serial) // the newest first; clocks of others may differ from ours
      .map(({ name, item: { from, guest, mine, content, at } }) => ({ with: name, from, guest, mine, content, at: at.getTime() }))),
  };
  remember('sessionStorage', STORED, kept);
}

/** Puts what was kept of the same person's stay back into the house, whose rooms are entered already. @param {import('./house.js').Who} who */
export function restore({ name, session }) {
  const kept = recall('sessionStorage', STORED);
  if (kept?.name !== name || kept.account !== Boolean(session)) return forget();
  try {
    return putBack(kept);
  } catch {
    return forget(); // not written by this page, or by an older one: nobody is kept out by it
  }
}

function putBack(kept) {
  for (const { name: other, guest, familiar } of [...kept.whispers].reverse()) house.whispersWith(other, guest).familiar = familiar;
  for (const { with: other, at, ...message } of [...kept.messages].reverse()) append(house.whispersWith(other), { kind: 'message', ...message, at: new Date(at) });
  for (const [key, draft] of kept.drafts) Object.assign(house.conversations.get(key) ?? {}, { draft });
  for (const [key, place] of kept.places) Object.assign(house.conversations.get(key) ?? {}, { place });
  for (const [key, { unread, mentioned, upTo: { at, seq }, isMarked }] of kept.unread) {
    const conversation = house.conversations.get(key);
    const tally = { unread, mentioned, upTo: { at, seq }, isMarked };
    if (conversation?.kind === 'room') conversation.tally = tally;
    else if (conversation) house.countFrom(conversation, tally);
  }
  return undefined;
}

export function forget() {
  remember('sessionStorage', STORED, null);
}

/** @param {() => ?import('./log.js').Place} placeShown  where one reads now */
export function setUpKeeping(placeShown) {
  const keep = () => save(placeShown);
  addEventListener('pagehide', keep);
  // A phone may end a page that is hidden without another word.
  document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && keep());
  house.on('left', forget);
}
