// A gauge: a paper window that is lit from below, with a lattice bar at every ten percent. How bad it is is told by a
// word, a picture and a hatching besides the colour.

import { el, icon, setText } from './view.js';

const SVG = 'http://www.w3.org/2000/svg';
const PANE = { x: 6, y: 6, width: 78, height: 120 };
const BARS_ACROSS = 10;
const BARS_UPRIGHT = 6;

const shape = (tag, attributes) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

/** The level a value has reached: 0 below the first limit. */
export const levelOf = (value, limits) => limits.filter((limit) => value >= limit).length;

const LEVELS = ['ok', 'high', 'critical'];

export class Gauge {
  #limits;
  #format;
  #words;
  #parts;
  #state = '';

  /** @param {{name: string, limits: number[], format: (value: number) => string, words: object, id: string}} plan */
  constructor({ name, limits, format, words, id }) {
    this.#limits = limits;
    this.#format = format;
    this.#words = words;
    const level = icon('ok');
    this.#parts = { value: el('p', { class: 'gauge-value' }, words.none), word: el('span', {}, ''), level, lit: shape('g', { class: 'gauge-lit' }) };
    const title = el('h3', { id: `${id}-name` }, name);
    this.element = el('div', { class: 'gauge', id, role: 'meter', 'aria-labelledby': title.id, 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': 0, 'aria-valuetext': words.no_value },
      title, this.#window(), this.#parts.value, el('p', { class: 'gauge-level', hidden: true }, level, this.#parts.word));
  }

  #window() {
    const { x, y, width, height } = PANE;
    const across = Array.from({ length: BARS_ACROSS - 1 }, (_, index) => `M${x} ${y + ((index + 1) * height) / BARS_ACROSS}h${width}`);
    const upright = Array.from({ length: BARS_UPRIGHT - 1 }, (_, index) => `M${x + ((index + 1) * width) / BARS_UPRIGHT} ${y}v${height}`);
    const { lit } = this.#parts;
    lit.append(shape('rect', { class: 'gauge-light', x, y, width, height }), shape('rect', { class: 'gauge-hatch', x, y, width, height, fill: 'url(#hatch-fine)' }));
    const limits = this.#limits.map((limit) => {
      const at = y + height * (1 - limit / 100);
      const text = shape('text', { x: x + width + 13, y: at, dy: '.35em' });
      text.textContent = limit;
      const mark = shape('g', { class: 'gauge-limit' });
      mark.append(shape('path', { d: `M${x} ${at}h${width + 9}` }), text);
      return mark;
    });
    const picture = shape('svg', { viewBox: '0 0 114 132', 'aria-hidden': 'true', class: 'gauge-window' });
    picture.append(
      shape('rect', { class: 'gauge-paper', x, y, width, height }), lit,
      shape('path', { class: 'gauge-bars', d: [...across, ...upright].join('') }),
      shape('rect', { class: 'gauge-frame', x: x - 2.5, y: y - 2.5, width: width + 5, height: height + 5, rx: 1 }),
      ...limits,
    );
    return picture;
  }

  /** @param {boolean} isReported  false where the server's system has no such figure  @returns {number} the level */
  show(value, isReported) {
    const { value: text, word, lit, level: picture } = this.#parts;
    const isKnown = !Number.isNaN(value);
    const level = isKnown ? levelOf(value, this.#limits) : -1;
    setText(text, isKnown ? this.#format(value) : this.#words.none);
    lit.style.transform = `scaleY(${isKnown ? Math.min(Math.max(value, 0), 100) / 100 : 0})`;
    this.element.setAttribute('aria-valuenow', isKnown ? value : 0);
    const known = isKnown && `${this.#format(value)}, ${this.#words.levels[level]}`;
    this.element.setAttribute('aria-valuetext', known || (isReported ? this.#words.no_value : this.#words.not_reported_why));
    const state = LEVELS[level] ?? (isReported ? '' : 'none');
    if (state === this.#state) return level;
    this.#state = state;
    this.element.dataset.level = state;
    this.element.title = state === 'none' ? this.#words.not_reported_why : '';
    picture.parentElement.hidden = state === '';
    picture.toggleAttribute('hidden', level < 0);
    if (level >= 0) picture.firstElementChild.setAttribute('href', `#i-${LEVELS[level]}`);
    setText(word, this.#words.levels[level] ?? (isReported ? '' : this.#words.not_reported));
    return level;
  }
}
