// Our own messages that are on their way, or failed: below all others, until the server has them.

import { explain, timeOf, words } from './words.js';
import { isLong } from './clamp.js';
import { bubble } from './message.js';
import { el, reconcile, setText } from './view.js';

/**
 * @param {HTMLElement} list @param {import('./conversation.js').Conversation} conversation @param {import('./clamp.js').Clamp} clamp
 * @param {{retry: (message) => void, discard: (message) => void, names: () => object}} actions   for those that failed; who can be mentioned
 */
export function showOutgoing(list, { outgoing, waiting }, clamp, actions) {
  reconcile(list, [...outgoing.values()], ({ id }) => id, (message) => create(message, clamp, actions.names()), (line, message) => update(line, message, waiting, actions));
}

function create({ id, content }, clamp, mentions) {
  const line = el('li', { class: 'message mine' },
    el('p', { class: 'by unseen' }, words.own_name),
    el('div', { class: 'line' }, bubble(content, mentions), el('time', { class: 'time' })),
    el('p', { class: 'progress' }));
  if (isLong(content)) clamp.add(line, `outgoing-${id}`);
  return line;
}

function update(line, message, waiting, actions) {
  const { status, error, createdAt } = message;
  const key = `${status} ${error} ${status === 'pending' && waiting}`;
  if (line.dataset.status === key) return;
  line.dataset.status = key;
  line.classList.toggle('pending', status === 'pending');
  line.classList.toggle('failed', status === 'failed');
  setText(line.querySelector('.time'), status === 'sent' ? timeOf(new Date(createdAt)) : '');
  const progress = line.querySelector('.progress');
  if (status === 'sent') progress.replaceChildren();
  else if (status === 'pending') progress.replaceChildren(waiting ? words.waiting : words.sending);
  else progress.replaceChildren(...failure(message, actions));
}

const failure = (message, { retry, discard }) => [
  el('span', { role: 'alert' }, `${words.failed}. ${explain(message.error)}`), ' ',
  el('button', { type: 'button', class: 'link', onclick: () => retry(message) }, words.retry), ' ',
  el('button', { type: 'button', class: 'link', onclick: () => discard(message) }, words.discard),
];
