// The figures that a back end posts, whatever their names: a chart is made for each when its first number comes, and taken
// away when none is left in the time that is kept.

import { count, figureNumber, valueFormat, words } from './dashboard-words.js';

/** Figures drawn at a time; a back end may post more. */
export const POSTED_SHOWN_MAX = 24;
/** The fields that are not a back end's. */
const OURS = new Set(['active_users']);

/** Names end in their unit, as in the Prometheus conventions; no other name says what its numbers are. */
const UNITS = [[/_(ms|milliseconds)$/i, 'ms'], [/_bytes$/i, 'bytes'], [/_(percent|pct)$/i, 'percent']];
const unitOf = (name) => UNITS.find(([ending]) => ending.test(name))?.[1] ?? 'number';
/** Figures that the demo makes up have names in both languages, and no halves. */
const KNOWN = {
  revenue: { id: 'revenue', name: words.revenue, shape: 'line', stepMin: 1, format: count },
  orders: { id: 'orders', name: words.orders, shape: 'step', stepMin: 1, format: count },
};

/** Something in a name that can be seen: some letters and symbols cannot, as little as spaces. */
const SEEN = /(?![\u115f\u1160\u2800\u3164\uffa0])[\p{L}\p{N}\p{P}\p{S}]/u;

/** @param {string} field  @param {number} serial  different for each figure of the page */
export function planOf(field, serial) {
  const unit = unitOf(field);
  const own = { id: `posted-${serial}`, name: SEEN.test(field) ? field : words.no_name, shape: 'line', unit, format: unit === 'number' ? figureNumber : valueFormat(unit) };
  return { ...own, ...(Object.hasOwn(KNOWN, field) ? KNOWN[field] : {}), section: 'business', lines: [{ field, tone: 'business' }], changes: true };
}

export class Posted {
  /** @type {Map<string, import('./figure.js').Figure>} */ #figures = new Map();
  #series;
  #make;
  #more;
  #serial = 0;

  /**
   * @param {import('./series.js').Series} series
   * @param {(plan: object) => import('./figure.js').Figure} make   makes a figure and puts it on the page
   * @param {HTMLElement} more  says how many are not shown
   */
  constructor(series, make, more) {
    this.#series = series;
    this.#make = make;
    this.#more = more;
  }

  get figures() {
    return [...this.#figures.values()];
  }

  /** Makes the figures fit what has come. */
  update() {
    for (const [field, figure] of this.#figures) {
      if (this.#series.has(field)) continue;
      figure.remove();
      this.#figures.delete(field);
      this.#series.forget(field);
    }
    const others = this.#series.fields.filter((field) => !OURS.has(field) && this.#series.has(field));
    const fields = [...Object.keys(KNOWN).filter((field) => others.includes(field)), ...others.filter((field) => !Object.hasOwn(KNOWN, field))];
    for (const field of fields) {
      if (this.#figures.size >= POSTED_SHOWN_MAX) break;
      if (!this.#figures.has(field)) this.#figures.set(field, this.#make(planOf(field, ++this.#serial)));
    }
    const hidden = fields.length - this.#figures.size;
    this.#more.hidden = hidden <= 0;
    this.#more.textContent = hidden > 0 ? words.more_figures(hidden) : '';
  }
}
