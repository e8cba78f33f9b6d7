// A figure on the dashboard: its name, its last value or values in large, what they mean in small, and its time chart.

import { Chart, lineSample } from './chart.js';
import { el, setText } from './view.js';

/** A greater proportion says no more, and needs room. */
const PROPORTION_MAX = 999;
/** Longer names may be cut. */
const LONG_NAME = 60;
const DIRECTIONS = { up: '▲', down: '▼', same: '–' };
const directionOf = (change) => (change > 0 ? 'up' : change < 0 ? 'down' : 'same');

/** How a figure changed, with a sign, a direction to see, and the proportion where there is one. */
function changeParts(change, before, format) {
  const direction = directionOf(change);
  const proportion = (change / before) * 100;
  const isTelling = before > 0 && change !== 0 && proportion <= PROPORTION_MAX;
  return { direction, text: format.change(change) + (isTelling ? ` (${format.proportion(proportion)})` : '') };
}

/** A line such as `직전보다 ▲ +12 (+3.1%)`. Its nodes stay, so that nothing moves but the digits. */
class ChangeLine {
  #arrow = el('span', { class: 'arrow', 'aria-hidden': 'true' });
  #text = el('span', { class: 'change-text' });
  #label = el('span', { class: 'change-label' });
  element = el('p', { class: 'change' }, this.#label, ' ', this.#arrow, ' ', this.#text);

  show(label, change, before, format, words) {
    const isKnown = Number.isFinite(change);
    const { direction, text } = isKnown ? changeParts(change, before, format) : { direction: '', text: words.none };
    setText(this.#label, label);
    setText(this.#arrow, DIRECTIONS[direction] ?? '');
    setText(this.#text, direction === 'same' ? words.unchanged : text);
    this.element.dataset.direction = direction;
  }
}

/**
 * @typedef {import('./chart.js').Plan & {
 *   id: string, section: string, name: string, hint?: string, changes?: boolean, optional?: boolean, unless?: string,
 *   notes?: (series: object, since: number, window: string) => string[]}} FigurePlan
 */

export class Figure {
  /** @type {FigurePlan} */ plan;
  #words;
  #format;
  #values = [];
  #changes = null;
  #notes = null;
  #tag;

  /** @param {FigurePlan} plan  @param {object} house  as `Chart` needs it, with `changeFormat` */
  constructor(plan, house) {
    this.plan = plan;
    this.#words = house.words;
    this.#format = house.changeFormat;
    this.chart = new Chart({ ...plan, label: this.#words.chart(plan.name) }, house);
    this.#tag = el('span', { class: 'tag', hidden: true, title: this.#words.simulated_why }, this.#words.simulated);
    const title = el('h3', { id: `${plan.id}-name` }, el('bdi', { class: 'figure-name', title: plan.name.length > LONG_NAME ? plan.name : null }, plan.name), plan.hint && el('span', { class: 'figure-hint' }, ` ${plan.hint}`), ' ', this.#tag);
    this.element = el('article', { class: `figure figure-${plan.lines.length > 1 ? 'many' : 'one'}`, id: plan.id, 'aria-labelledby': title.id }, title, this.#head(), this.chart.element);
  }

  #head() {
    const { lines, changes, notes } = this.plan;
    this.#values = lines.map(() => el('span', { class: 'figure-value' }, this.#words.none));
    if (lines.length > 1) {
      const items = lines.map((line, index) => el('li', { class: 'legend-item' }, lineSample(line), el('span', {}, line.name), this.#values[index]));
      return el('ul', { class: 'legend' }, ...items);
    }
    const facts = el('div', { class: 'figure-facts' });
    if (changes) {
      this.#changes = [new ChangeLine(), new ChangeLine()];
      facts.append(...this.#changes.map(({ element }) => element));
    } else if (notes) {
      this.#notes = [el('p'), el('p')];
      facts.append(...this.#notes);
    }
    return el('div', { class: 'figure-head' }, el('p', { class: 'figure-now' }, this.#values[0]), facts);
  }

  /** Whether the server tells what it shows, and nothing that says more. */
  get isShown() {
    const { series, lines, optional, unless } = this.plan;
    return (!optional || lines.some(({ field }) => series.has(field))) && !(unless && series.has(unless));
  }

  remove() {
    this.chart.close();
    this.element.remove();
  }

  /** @param {string[]} simulated  fields that are not real */
  label(simulated) {
    this.#tag.hidden = !this.plan.lines.some(({ field }) => simulated.includes(field));
  }

  /** @param {{now: number, windowMs: number, windowName: string, cursor: ?number, marks: {time: number}[]}} view */
  draw({ now, windowMs, windowName, cursor, marks }) {
    const { series, lines, format, notes } = this.plan;
    this.element.hidden = !this.isShown;
    if (!this.isShown) return;
    lines.forEach(({ field }, index) => setText(this.#values[index], format(series.last(field))));
    if (this.#changes) this.#showChanges(now - windowMs, windowName);
    if (this.#notes) {
      const texts = notes(series, now - windowMs, windowName);
      this.#notes.forEach((note, index) => setText(note, texts[index] ?? ''));
    }
    this.chart.draw(now, windowMs, cursor, marks);
  }

  #showChanges(since, windowName) {
    const { series, lines: [{ field }] } = this.plan;
    const last = series.last(field);
    const before = series.last(field, 1);
    const isOne = series.indexFrom(since) >= series.length - 1;
    const first = isOne ? NaN : series.stats(field, since)?.first;
    const [sincePrevious, overWindow] = this.#changes;
    sincePrevious.show(this.#words.since_previous, last - before, before, this.#format, this.#words);
    overWindow.show(this.#words.over_window(windowName), last - first, first, this.#format, this.#words);
  }
}
