// One look tells whether all is well: a verdict, and what it is made of. How bad something is is told by a word and a
// picture besides the colour.

import { levelOf } from './gauge.js';
import { HealthHistory } from './health-history.js';
import { LIMITS } from './plans.js';
import { el, icon, setText } from './view.js';
import { bytes, count, milliseconds, percent, percentFine, words } from './dashboard-words.js';

const LEVELS = ['ok', 'high', 'critical'];
/** From which share of requests on that failed, in percent. */
const ERROR_LIMITS = [1, 5];
/** From which time on that one request in a hundred takes longer, in milliseconds. */
const RESPONSE_LIMITS_MS = [500, 2_000];
/** Above this an outbox holds its reader up; the server names it its high-water mark. */
const OUTBOX_LIMITS_BYTES = [64 * 1024];
const ANY = [1];

const upOrDown = (value) => words.up_or_down[value >= 1 ? 1 : 0];
/** `[name, kind, field, level of a value, format]`; only what the server tells is shown. */
const CHECKS = [
  ['cpu', 'system_metrics', 'cpu', (value) => levelOf(value, LIMITS), percent],
  ['memory', 'system_metrics', 'memory', (value) => levelOf(value, LIMITS), percent],
  ['disk', 'system_metrics', 'disk', (value) => levelOf(value, LIMITS), percent],
  ['errors', 'api_metrics', 'error_rate', (value) => levelOf(value, ERROR_LIMITS), percentFine],
  ['p99', 'api_metrics', 'p99_ms', (value) => levelOf(value, RESPONSE_LIMITS_MS), milliseconds],
  ['outbox', 'api_metrics', 'outbox_peak_bytes', (value) => levelOf(value, OUTBOX_LIMITS_BYTES), bytes],
  ['refused', 'api_metrics', 'refused', (value) => levelOf(value, ANY), count],
  ['slow', 'api_metrics', 'slow_consumers', (value) => levelOf(value, ANY), count],
  ['store', 'api_metrics', 'store_up', (value) => (value >= 1 ? 0 : 2), upOrDown],
  ['engine', 'api_metrics', 'engine_up', (value) => (value >= 1 ? 0 : 2), upOrDown],
];

export class Health {
  #series;
  #verdict;
  #picture = icon('ok');
  #text = el('span');
  #checks;
  #history;

  /** @param {Record<string, import('./series.js').Series>} series  by kind  @param {HTMLElement} verdict  @param {HTMLElement} list */
  constructor(series, verdict, list) {
    this.#series = series;
    this.#verdict = verdict;
    verdict.append(this.#picture, this.#text);
    this.#checks = CHECKS.map(([name, kind, field, level, format]) => {
      const picture = icon('ok');
      const value = el('span', { class: 'check-value' });
      const word = el('span', { class: 'check-word' });
      const element = el('li', { class: 'check', id: `check-${name}`, hidden: true }, picture, el('span', { class: 'check-name' }, words.checks[name]), ' ', value, ' ', word);
      list.append(element);
      return { kind, field, level, format, element, picture, value, word };
    });
    this.#history = new HealthHistory(this.#checks, series);
    verdict.after(this.#history.element);
  }

  /** What was known has changed at once, not by one sample. */
  renew() {
    this.#history.renew();
  }

  /** @param {number} now  @param {boolean} isLive  what is known is from just now  @param {(kind: string) => boolean} isShown */
  show(now, isLive, isShown) {
    // A channel that has nothing of the machine and the server says nothing of their health, not even that it is unknown.
    const isTold = this.#checks.some(({ kind }) => isShown(kind));
    this.#verdict.hidden = !isTold;
    this.#history.element.toggleAttribute('hidden', !isTold);
    this.#history.show(now, isShown);
    let worst = -1;
    let wrong = 0;
    for (const each of this.#checks) {
      const value = isShown(each.kind) ? this.#series[each.kind].last(each.field) : NaN;
      const isKnown = !Number.isNaN(value);
      each.element.hidden = !isKnown;
      if (!isKnown) continue;
      const level = each.level(value);
      worst = Math.max(worst, level);
      if (level > 0) wrong += 1;
      each.element.dataset.level = LEVELS[level];
      each.picture.firstElementChild.setAttribute('href', `#i-${LEVELS[level]}`);
      setText(each.value, each.format(value));
      setText(each.word, level > 0 ? words.levels[level] : '');
    }
    const level = isLive ? LEVELS[worst] ?? 'unknown' : 'unknown';
    this.#verdict.dataset.level = level;
    this.#picture.firstElementChild.setAttribute('href', `#i-${level === 'unknown' ? 'gap' : level}`);
    setText(this.#text, words.verdicts[level](wrong));
  }
}
