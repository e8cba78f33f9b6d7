// How the last quarter of an hour was, in pieces of 30 s: how bad each was is told by the height of its bar besides the colour.

import { el } from './view.js';
import { oneDigit, words } from './dashboard-words.js';

const SVG = 'http://www.w3.org/2000/svg';
const PIECES = 30;
/** Longer than the time between two samples of an idle server, so that no piece is without one. */
export const PIECE_MS = 30_000;
const UPDATE_EVERY_MS = 5_000;
const BAR = { step: 10, width: 7, height: 28 };
/** By level; `unknown` where there is no sample. */
const HEIGHTS = { unknown: 3, ok: 12, high: 20, critical: 28 };
const LEVELS = ['ok', 'high', 'critical'];

export class HealthHistory {
  #checks;
  #series;
  #paths;
  #updatedAt = -Infinity;

  /**
   * @param {{kind: string, field: string, level: (value: number) => number}[]} checks
   * @param {Record<string, import('./series.js').Series>} series  by kind
   */
  constructor(checks, series) {
    this.#checks = checks;
    this.#series = series;
    this.#paths = Object.fromEntries(Object.keys(HEIGHTS).map((level) => {
      const path = document.createElementNS(SVG, 'path');
      path.setAttribute('class', `history-${level}`);
      return [level, path];
    }));
    const picture = document.createElementNS(SVG, 'svg');
    picture.setAttribute('viewBox', `0 0 ${PIECES * BAR.step - (BAR.step - BAR.width)} ${BAR.height}`);
    picture.append(...Object.values(this.#paths));
    /** @type {HTMLElement} */ this.element = el('div', { class: 'history', role: 'img', 'aria-label': words.no_value }, picture);
  }

  /** @param {number} now  @param {(kind: string) => boolean} isShown */
  show(now, isShown) {
    if (performance.now() - this.#updatedAt < UPDATE_EVERY_MS) return;
    this.#updatedAt = performance.now();
    const end = Math.ceil(now / PIECE_MS) * PIECE_MS;
    const start = end - PIECES * PIECE_MS;
    const worst = Array(PIECES).fill(-1);
    for (const { kind, field, level } of this.#checks.filter((check) => isShown(check.kind))) {
      const series = this.#series[kind];
      for (let index = series.indexFrom(start); index < series.length; index += 1) {
        const value = series.valueAt(field, index);
        const piece = Math.floor((series.timeAt(index) - start) / PIECE_MS);
        if (!Number.isNaN(value) && piece < PIECES) worst[piece] = Math.max(worst[piece], level(value));
      }
    }
    const levels = worst.map((level) => LEVELS[level] ?? 'unknown');
    for (const [level, path] of Object.entries(this.#paths)) {
      path.setAttribute('d', levels.map((each, index) => (each === level ? bar(index, HEIGHTS[level]) : '')).join(''));
    }
    const minutesOf = (level) => oneDigit(levels.filter((each) => each === level).length * (PIECE_MS / 60_000));
    this.element.setAttribute('aria-label', words.history(words.minutes(PIECES * (PIECE_MS / 60_000)), minutesOf('high'), minutesOf('critical')));
  }

  /** Shows anew with the next call, as after the series has come or another channel was chosen. */
  renew() {
    this.#updatedAt = -Infinity;
  }
}

const bar = (index, height) => `M${index * BAR.step} ${(BAR.height - height) / 2}h${BAR.width}v${height}h${-BAR.width}z`;
