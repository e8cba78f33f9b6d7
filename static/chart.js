// A time chart: one SVG whose nodes are made once and only change their attributes. It draws what it is told to,
// when it is told to; a line is never drawn over samples that are missing.

import { el, setText } from './view.js';
import { roundRange } from './series.js';

const SVG = 'http://www.w3.org/2000/svg';
/** Above the plot is the line in which values are read out, so that they never cover what is drawn. */
const MARGIN = { top: 25, right: 12, bottom: 22 };
/** Room for the numbers at the left: as much as they need, in steps, so that it seldom changes. */
const LEFT = { min: 46, step: 8, gap: 8, digit: 7.4, wide: 12.5 };
const Y_TICKS_MAX = 9;
const X_TICKS_MAX = 8;
/** Fewer pixels between two times would let them touch: with seconds, without. */
const X_TICK_ROOM_PX = { seconds: 70, minutes: 54 };
const X_STEPS_MS = [15_000, 30_000, 60_000, 120_000, 180_000, 300_000, 600_000];
/** Of numbers that are nearer to each other than this, a scale would have no digits. */
const STEP_MIN = 1e-9;
/** A sample may come late by this part of its period before it counts as missing. */
const MISSING_PERIODS = 2.5;
const HOVER_PX = 24;
const DESCRIBE_EVERY_MS = 30_000;
const MARKER_PX = 3.6;
const READOUT = { top: 1, height: 19, baseline: 14.5, padding: 6, gap: 11 };

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const group = (name, count, create) => {
  const nodes = Array.from({ length: count }, create);
  return { nodes, element: svg('g', { class: name }, ...nodes) };
};

/** The end of a line has a shape of its own, so that lines are told apart without their colours. */
const MARKERS = {
  circle: (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  square: (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  diamond: (x, y, r) => `M${x} ${y - r * 1.35}l${r * 1.35} ${r * 1.35}l${-r * 1.35} ${r * 1.35}l${-r * 1.35} ${-r * 1.35}z`,
};

/** The sample of a line as it is drawn, for a legend. */
export function lineSample({ tone, dash, marker = 'circle' }) {
  return svg('svg', { class: `line-sample tone-of-${tone}`, viewBox: '0 0 34 12', 'aria-hidden': 'true' },
    svg('path', { class: 'chart-line', d: 'M1 6h32', 'stroke-dasharray': dash ?? 'none' }),
    svg('path', { class: 'chart-marker', d: MARKERS[marker](17, 6, 3.6) }));
}

/**
 * @typedef {object} Plan  What a chart shows.
 * @property {import('./series.js').Series} series @property {number} periodMs
 * @property {{field: string, name: string, tone: string, dash?: string, marker?: string}[]} lines
 * @property {'line'|'step'|'bars'} shape
 * @property {string} label   for those who do not see it
 * @property {number} [low] @property {number} [high]   fixed ends of the scale
 * @property {number} [highMin]  the scale goes up to this at least
 * @property {number} [stepMin]  1 when there are no halves
 * @property {number[]} [limits]  thresholds
 * @property {(value: number) => string} format
 * @property {string} [covers]  the field that has the time a bar stands for, in milliseconds; without it the period
 * @property {string} [unit]  of the scale, as `scale` knows it
 */

export class Chart {
  /** @type {HTMLElement} */ element;
  #plan;
  #nodes;
  #describedAt = -Infinity;
  #observer;
  #width = 0;
  #left = LEFT.min;
  #height = 0;
  /** Of the last drawing: what the pointer and the keys refer to. */ #from = 0;
  #to = 1;

  /**
   * @param {Plan} plan
   * @param {{words: object, clock: (time: number) => string, clockShort: (time: number) => string,
   *   scale: (values: number[], unit?: string) => string[], cursor: (time: ?number) => void, resized: () => void}} house
   */
  constructor(plan, house) {
    this.#plan = plan;
    this.house = house;
    this.#build();
    this.#observer = new ResizeObserver(([{ contentRect }]) => {
      this.#width = Math.round(contentRect.width);
      this.#height = Math.round(contentRect.height);
      house.resized();
    });
    this.#observer.observe(this.element);
  }

  close() {
    this.#observer.disconnect();
  }

  #build() {
    const { lines, limits = [], label } = this.#plan;
    const yTicks = group('chart-scale', Y_TICKS_MAX, () => svg('text', { dy: '.35em', 'text-anchor': 'end' }));
    const xTicks = group('chart-scale', X_TICKS_MAX, () => svg('text', { 'text-anchor': 'middle' }));
    const readout = group('chart-readout', lines.length + 1, () => svg('text'));
    readout.box = svg('rect', { rx: 5 });
    readout.element.prepend(readout.box);
    this.#nodes = {
      grid: svg('path', { class: 'chart-grid' }),
      missing: svg('path', { class: 'chart-missing', fill: 'url(#hatch)' }),
      limits: limits.map(() => svg('path', { class: 'chart-limit' })),
      lines: lines.map(({ tone, dash }) => ({
        area: svg('path', { class: `chart-area tone-of-${tone}` }),
        line: svg('path', { class: `chart-line tone-of-${tone}`, 'stroke-dasharray': dash ?? 'none' }),
        lone: svg('path', { class: `chart-lone tone-of-${tone}` }),
        marker: svg('path', { class: `chart-marker tone-of-${tone}` }),
        point: svg('path', { class: `chart-marker chart-point tone-of-${tone}` }),
      })),
      marks: svg('path', { class: 'chart-mark' }),
      heads: svg('path', { class: 'chart-mark-head' }),
      cursor: svg('path', { class: 'chart-cursor' }),
      yTicks, xTicks, readout,
    };
    const { grid, missing, marks, heads, cursor } = this.#nodes;
    const drawn = this.#nodes.lines.flatMap(({ area, line, lone, marker, point }) => [area, line, lone, marker, point]);
    this.svg = svg('svg', { class: 'chart', 'aria-hidden': 'true' },
      grid, ...this.#nodes.limits, missing, marks, heads, cursor, ...drawn, yTicks.element, xTicks.element, readout.element);
    this.element = el('div', {
      class: 'plot', tabindex: 0, role: 'slider', 'aria-label': label, 'aria-roledescription': this.house.words.chart_role,
      'aria-valuemin': 0, 'aria-valuemax': 0, 'aria-valuenow': 0, 'aria-valuetext': this.house.words.no_value,
      onpointermove: (event) => this.#point(event),
      onpointerdown: (event) => this.#point(event),
      onpointerleave: (event) => event.pointerType === 'mouse' && this.house.cursor(null),
      onkeydown: (event) => this.#key(event),
      onfocus: () => this.describe(null),
      onblur: () => this.house.cursor(null),
    }, this.svg);
  }

  // Reading values out

  #point({ offsetX }) {
    const { series } = this.#plan;
    const time = this.#from + ((offsetX - this.#left) / this.#plotWidth) * (this.#to - this.#from);
    const within = Math.max(this.#plan.periodMs, (HOVER_PX / this.#plotWidth) * (this.#to - this.#from));
    const index = series.indexNear(time, within);
    this.house.cursor(index >= 0 && series.timeAt(index) >= this.#from ? series.timeAt(index) : null);
  }

  #key(event) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    const { series } = this.#plan;
    if (event.key === 'Escape') this.house.cursor(null);
    else if (event.key in steps && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      const first = series.indexFrom(this.#from);
      if (first === series.length) return;
      const now = this.cursorTime === null ? series.length - 1 : series.indexNear(this.cursorTime, Infinity);
      const index = Math.min(series.length - 1, Math.max(first, now + steps[event.key]));
      this.describe(index);
      this.house.cursor(series.timeAt(index));
    }
  }

  /** Tells assistive technology of a sample, the last when `index` is null. A screen reader reads it out when we have the focus. */
  describe(index) {
    const { series, lines, format } = this.#plan;
    if (!series.length) return;
    const at = index ?? series.length - 1;
    const values = lines.map(({ field, name }) => (lines.length > 1 ? `${name} ` : '') + format(series.valueAt(field, at)));
    const first = series.indexFrom(this.#from);
    const attributes = {
      'aria-valuemax': Math.max(0, series.length - 1 - first),
      'aria-valuenow': Math.max(0, at - first),
      'aria-valuetext': `${this.house.clock(series.timeAt(at))}, ${values.join(', ')}`,
    };
    for (const [name, value] of Object.entries(attributes)) this.element.setAttribute(name, value);
    this.#describedAt = performance.now();
  }

  /** Now and then, but never while someone listens to us. */
  #describeSeldom() {
    if (performance.now() - this.#describedAt > DESCRIBE_EVERY_MS && document.activeElement !== this.element) this.describe(null);
  }

  // Drawing

  get #plotWidth() {
    return Math.max(1, this.#width - this.#left - MARGIN.right);
  }

  get #plotHeight() {
    return Math.max(1, this.#height - MARGIN.top - MARGIN.bottom);
  }

  /**
   * @param {number} now  the right end  @param {number} windowMs  @param {?number} cursorTime
   * @param {{time: number}[]} marks  when something was lost
   */
  draw(now, windowMs, cursorTime, marks) {
    if (!this.#width || !this.#height) return;
    this.#from = now - windowMs;
    this.#to = now;
    this.cursorTime = cursorTime;
    this.svg.setAttribute('viewBox', `0 0 ${this.#width} ${this.#height}`);
    const range = this.#range();
    this.#makeRoom(range);
    const x = (time) => this.#left + ((time - this.#from) / windowMs) * this.#plotWidth;
    const y = (value) => MARGIN.top + (1 - (value - range.low) / (range.high - range.low)) * this.#plotHeight;
    this.#drawScales(range, x, y, windowMs);
    this.#drawMissing(x, marks);
    this.#plan.lines.forEach((line, index) => this.#drawLine(line, this.#nodes.lines[index], range, x, y));
    this.#drawCursor(cursorTime, x, y);
    this.#describeSeldom();
  }

  #range() {
    const { series, lines, low, high, highMin = -Infinity, stepMin } = this.#plan;
    const count = Math.min(6, Math.max(2, Math.round(this.#plotHeight / 35)));
    const since = this.#first < series.length ? series.timeAt(this.#first) : this.#from;
    const all = lines.map(({ field }) => series.stats(field, since)).filter(Boolean);
    let bottom = low ?? Math.min(...all.map((stats) => stats.low));
    let top = high ?? Math.max(highMin, ...all.map((stats) => stats.high));
    if (!Number.isFinite(bottom)) bottom = 0;
    if (!Number.isFinite(top)) top = bottom + 1;
    if (top - bottom < Math.max((stepMin ?? 0) * 2, STEP_MIN)) {
      // A value that stays the same is shown in the middle, nothing at the bottom.
      const around = Math.max(stepMin ?? 0, Math.abs(top) * 0.02, STEP_MIN);
      top += top ? around : stepMin ?? 1;
      if (low === undefined) bottom = bottom < 0 ? bottom - around : Math.max(0, bottom - around);
    }
    const range = roundRange(bottom, top, count, stepMin);
    const steps = Math.min(Math.round((range.high - range.low) / range.step), Y_TICKS_MAX - 1);
    range.values = Array.from({ length: steps + 1 }, (_, index) => range.low + index * range.step);
    range.texts = this.house.scale(range.values, this.#plan.unit);
    return range;
  }

  #makeRoom({ texts }) {
    const widths = texts.map((text) => [...text].reduce((sum, character) => sum + (character > '\u02ff' ? LEFT.wide : LEFT.digit), 0));
    this.#left = Math.max(LEFT.min, Math.ceil((Math.max(...widths) + LEFT.gap + 4) / LEFT.step) * LEFT.step);
  }

  #drawScales(range, x, y, windowMs) {
    const { grid, limits, yTicks, xTicks } = this.#nodes;
    const right = this.#left + this.#plotWidth;
    const bottom = MARGIN.top + this.#plotHeight;
    const { values, texts } = range;
    grid.setAttribute('d', values.map((value) => `M${this.#left} ${Math.round(y(value)) + 0.5}H${right}`).join(''));
    place(yTicks.nodes, values, (node, value, index) => {
      node.setAttribute('x', this.#left - LEFT.gap);
      node.setAttribute('y', y(value).toFixed(1));
      setText(node, texts[index]);
    });
    limits.forEach((node, index) => node.setAttribute('d', `M${this.#left} ${Math.round(y(this.#plan.limits[index])) + 0.5}H${right}`));
    const step = this.#timeStep(windowMs);
    const times = [];
    for (let time = Math.ceil(this.#from / step) * step; time <= this.#to; time += step) {
      if (x(time) > this.#left + 8 && x(time) < right - 14) times.push(time);
    }
    const clock = step < 60_000 ? this.house.clock : this.house.clockShort;
    place(xTicks.nodes, times, (node, time) => {
      node.setAttribute('x', x(time).toFixed(1));
      node.setAttribute('y', bottom + 16);
      setText(node, clock(time));
    });
  }

  #timeStep(windowMs) {
    const fits = (step) => {
      const room = step < 60_000 ? X_TICK_ROOM_PX.seconds : X_TICK_ROOM_PX.minutes;
      return (step / windowMs) * this.#plotWidth >= room && windowMs / step < X_TICKS_MAX;
    };
    return X_STEPS_MS.find(fits) ?? X_STEPS_MS.at(-1);
  }

  /** Of a bar, which covers the time up to its sample. */
  #barWidth(index) {
    const { series, covers, periodMs } = this.#plan;
    const covered = covers ? series.valueAt(covers, index) : NaN;
    return Math.max(1, ((Number.isNaN(covered) ? periodMs : covered) / (this.#to - this.#from)) * this.#plotWidth - 1);
  }

  get #longestMs() {
    return this.#plan.periodMs * MISSING_PERIODS;
  }

  /** The first sample to draw: the last before the window counts, as its line leads into it. */
  get #first() {
    return Math.max(0, this.#plan.series.indexFrom(this.#from) - 1);
  }

  #drawMissing(x, marks) {
    const { series, shape, periodMs } = this.#plan;
    const covered = shape === 'bars' ? periodMs : 0;
    const bands = [];
    for (let index = Math.max(1, this.#first); index < series.length; index += 1) {
      if (!series.brokenAt(index, this.#longestMs)) continue;
      const [before, after] = [series.timeAt(index - 1), series.timeAt(index)];
      bands.push([before, Math.max(before, after - covered)]);
    }
    if (series.length && this.#to - series.lastTime() > this.#longestMs) bands.push([series.lastTime(), this.#to]);
    const inside = (time) => x(Math.max(time, this.#from));
    const height = this.#plotHeight;
    const band = ([from, to]) => {
      const left = inside(from);
      const width = Math.max(inside(to) - left, 0);
      return `M${left.toFixed(1)} ${MARGIN.top}h${width.toFixed(1)}v${height}h${-width.toFixed(1)}z`;
    };
    this.#nodes.missing.setAttribute('d', bands.filter(([, to]) => to > this.#from).map(band).join(''));
    const places = marks.filter(({ time }) => time > this.#from).map(({ time }) => x(time).toFixed(1));
    this.#nodes.marks.setAttribute('d', places.map((at) => `M${at} ${MARGIN.top}v${height}`).join(''));
    this.#nodes.heads.setAttribute('d', places.map((at) => `M${at} ${MARGIN.top}l-4.5 -8h9z`).join(''));
  }

  #drawLine({ field, marker = 'circle' }, nodes, range, x, y) {
    const { series, shape, low } = this.#plan;
    const runs = [];
    let run = null;
    for (let index = this.#first; index < series.length; index += 1) {
      const value = series.valueAt(field, index);
      if (series.brokenAt(index, this.#longestMs) || Number.isNaN(value)) run = null;
      if (Number.isNaN(value)) continue;
      if (!run) runs.push(run = []);
      run.push([x(series.timeAt(index)), y(value), index]);
    }
    const left = this.#left;
    const base = y(range.low);
    const visible = cutAt(runs, left, shape === 'step');
    if (shape === 'bars') {
      const bars = runs.flat().filter(([end]) => end > left + 0.5);
      nodes.area.setAttribute('d', bars.map(([end, top, index]) => {
        const start = Math.max(left, end - this.#barWidth(index));
        return `M${start.toFixed(1)} ${base.toFixed(1)}V${top.toFixed(1)}H${end.toFixed(1)}V${base.toFixed(1)}z`;
      }).join(''));
      nodes.area.classList.add('is-bars');
      return;
    }
    const path = (points) => points.map(([px, py], index) => {
      const to = `${px.toFixed(1)} ${py.toFixed(1)}`;
      if (index === 0) return `M${to}`;
      return shape === 'step' ? `H${px.toFixed(1)}V${py.toFixed(1)}` : `L${to}`;
    }).join('');
    const lines = visible.filter((points) => points.length > 1);
    nodes.line.setAttribute('d', lines.map(path).join(''));
    nodes.lone.setAttribute('d', visible.filter((points) => points.length === 1).map(([[px, py]]) => `M${px.toFixed(1)} ${py.toFixed(1)}h0`).join(''));
    const filled = low === 0 && this.#plan.lines.length === 1;
    nodes.area.setAttribute('d', filled ? lines.map((points) => `${path(points)}V${base.toFixed(1)}H${points[0][0].toFixed(1)}z`).join('') : '');
    const last = runs.at(-1)?.at(-1);
    const isCurrent = last && !Number.isNaN(series.last(field)) && last[0] >= left;
    nodes.marker.setAttribute('d', isCurrent ? MARKERS[marker](last[0], last[1], MARKER_PX) : '');
  }

  #drawCursor(time, x, y) {
    const { cursor, readout, lines: nodes } = this.#nodes;
    const { series, lines, shape, periodMs, format } = this.#plan;
    const index = time === null || time < this.#from ? -1 : series.indexNear(time, periodMs);
    readout.element.toggleAttribute('hidden', index < 0);
    if (index < 0) {
      cursor.setAttribute('d', '');
      for (const { point } of nodes) point.setAttribute('d', '');
      return;
    }
    const at = x(series.timeAt(index)) - (shape === 'bars' ? this.#barWidth(index) / 2 : 0);
    cursor.setAttribute('d', `M${at.toFixed(1)} ${MARGIN.top}v${this.#plotHeight}`);
    const texts = lines.map(({ field, marker = 'circle' }, line) => {
      const value = series.valueAt(field, index);
      nodes[line].point.setAttribute('d', Number.isNaN(value) ? '' : MARKERS[marker](at, y(value), MARKER_PX + 0.6));
      return format(value);
    });
    this.#drawReadout(readout, this.house.clock(series.timeAt(index)), texts, at);
  }

  /** In one line above the plot: with the names of the lines where there is room for them. */
  #drawReadout({ box, nodes }, time, values, at) {
    const { lines } = this.#plan;
    const named = values.map((value, index) => (lines.length > 1 ? `${lines[index].name} ${value}` : value));
    const room = this.#width - 2 * READOUT.padding;
    let widths = this.#measure(nodes, [time, ...named]);
    if (sum(widths) > room) widths = this.#measure(nodes, [time, ...values]);
    const width = sum(widths) + 2 * READOUT.padding - READOUT.gap;
    const left = Math.min(Math.max(0, at - width / 2), Math.max(0, this.#width - width));
    const { top: y, height } = READOUT;
    for (const [name, value] of Object.entries({ x: left, y, width, height })) box.setAttribute(name, value.toFixed(1));
    let x = left + READOUT.padding;
    nodes.forEach((node, index) => {
      node.setAttribute('x', x.toFixed(1));
      node.setAttribute('y', y + READOUT.baseline - 1);
      x += widths[index];
    });
  }

  #measure(nodes, texts) {
    return nodes.map((node, index) => {
      setText(node, texts[index]);
      return node.getComputedTextLength() + READOUT.gap;
    });
  }
}

const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);

/** Shows as many of the nodes as there are values. */
function place(nodes, values, update) {
  nodes.forEach((node, index) => {
    node.toggleAttribute('hidden', index >= values.length);
    if (index < values.length) update(node, values[index], index);
  });
}

/** Runs of points from `left` on; the line that comes in from before begins where it crosses. */
function cutAt(runs, left, isStep) {
  return runs.map((points) => {
    const first = points.findIndex(([x]) => x >= left);
    if (first <= 0) return first < 0 ? [] : points;
    const [[x0, y0], [x1, y1]] = points.slice(first - 1, first + 1);
    return [[left, isStep ? y0 : y0 + ((left - x0) / (x1 - x0)) * (y1 - y0)], ...points.slice(first)];
  }).filter((points) => points.length);
}
