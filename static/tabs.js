// The tabs of one person agree on what is read: what one tab has shown, the others do not count as unread.

import { isAfter, markOf } from './conversation.js';
import { house } from './house.js';

/** The page of one server, as there may be others below other prefixes. */
const CHANNEL = `sarang ${new URL('.', document.baseURI).pathname}`;

/** @type {?BroadcastChannel} */ let channel = null;
/** key of a conversation → what we have told to be read of it. @type {Map<string, import('./conversation.js').Mark>} */ const told = new Map();

const whoIs = ({ me, chat }) => `${Boolean(me.session)} ${chat.username}`;

function tell() {
  const { active, me, chat } = house;
  if (!channel || !me || !chat?.username || !active || !house.isRead(active)) return;
  const newest = active.items.findLast(({ kind, mine }) => kind === 'message' && !mine);
  const upTo = newest && markOf(newest);
  if (!upTo || !isAfter(upTo, told.get(active.key) ?? { at: 0, seq: 0 })) return;
  told.set(active.key, upTo);
  channel.postMessage({ who: whoIs(house), key: active.key, upTo });
}

function hear({ data }) {
  const { me, chat, conversations } = house;
  if (!me || !chat?.username || data?.who !== whoIs(house)) return;
  const conversation = conversations.get(data.key);
  if (!conversation || !isAfter(data.upTo, conversation.readUpTo)) return;
  house.readUpTo(conversation, data.upTo);
  house.changed();
}

function open() {
  channel = new BroadcastChannel(CHANNEL);
  channel.addEventListener('message', hear);
}

export function setUpTabs() {
  if (!globalThis.BroadcastChannel) return;
  open();
  house.on('change', tell);
  house.on('moved', tell);
  house.on('left', () => told.clear());
  // An open channel keeps a page out of the cache that makes Back instant.
  addEventListener('pagehide', () => { channel?.close(); channel = null; });
  addEventListener('pageshow', ({ persisted }) => persisted && open());
}
