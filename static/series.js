// What is remembered of one kind of event: a ring of samples, so that a page left open for days stays as small as it is.

/** A clock that goes back by less than this is put right little by little; by more, it was set. */
const SET_BACK_MS = 60_000;

/** Greater numbers are none: with them, the ends of a scale would be infinite. */
const NUMBER_MAX = 1e300;
const isNumber = (value) => Number.isFinite(value) && Math.abs(value) <= NUMBER_MAX;

/** How a sample follows the one before: as their times say, after something was lost, or with nothing missing however far apart. */
export const LINK = { byTime: 0, broken: 1, joined: 2 };
/** While nobody listened, the server has sampled once in 15 s. */
const IDLE_LONGEST_MS = 2.5 * 15_000;

export class Series {
  #capacity;
  #times;
  /** How each sample follows the one before. */ #links;
  #values;
  #count = 0;
  #end = 0;
  /** When each field last had a number. @type {Map<string, number>} */ #lastSeen = new Map();
  #moreFields;

  /**
   * @param {number} capacity  samples kept
   * @param {string[]} fields  numbers kept of each
   * @param {number} [moreFields]  how many other fields are kept as they come
   */
  constructor(capacity, fields, moreFields = 0) {
    this.#moreFields = fields.length + moreFields;
    this.#capacity = capacity;
    this.#times = new Float64Array(capacity);
    this.#links = new Uint8Array(capacity);
    this.#values = new Map(fields.map((field) => [field, new Float64Array(capacity)]));
  }

  get length() {
    return this.#count;
  }

  /** @param {number} [link]  of `LINK` */
  push(time, data, link = LINK.byTime) {
    const isSetBack = this.#count > 0 && time < this.lastTime();
    if (isSetBack && this.lastTime() - time >= SET_BACK_MS) this.clear();
    else if (isSetBack) time = this.lastTime();
    const at = this.#end;
    this.#times[at] = time;
    this.#links[at] = link;
    this.#addFields(data);
    for (const [field, values] of this.#values) {
      const isThere = Object.hasOwn(data, field) && isNumber(data[field]);
      values[at] = isThere ? data[field] : NaN;
      if (isThere) this.#lastSeen.set(field, time);
    }
    this.#end = (at + 1) % this.#capacity;
    this.#count = Math.min(this.#count + 1, this.#capacity);
  }

  /**
   * Takes what the server has kept, in place of what is here of the same time.
   * @param {{time: number[]}} columns  a list for each field, as long as `time`
   * @param {(data: object) => object} [numbersOf]  adds what follows from other numbers
   */
  fill({ time: times = [], ...columns }, numbersOf = (data) => data) {
    if (!Array.isArray(times) || !times.length) return;
    const known = this.indexFrom(times[0]);
    this.#end = this.#slot(known);
    this.#count = known;
    times.forEach((time, index) => {
      const data = Object.fromEntries(Object.entries(columns).map(([field, values]) => [field, values?.[index]]));
      this.push(time, numbersOf(data), this.linkTo(time));
    });
  }

  #addFields(data) {
    if (this.#values.size >= this.#moreFields) return;
    for (const [field, value] of Object.entries(data)) {
      if (this.#values.has(field) || !isNumber(value) || this.#values.size >= this.#moreFields) continue;
      this.#values.set(field, new Float64Array(this.#capacity).fill(NaN));
    }
  }

  get fields() {
    return [...this.#values.keys()];
  }

  /** Whether a field has a number in what is kept. */
  has(field) {
    return this.#count > 0 && this.#lastSeen.get(field) >= this.timeAt(0);
  }

  /** Makes room for another field. */
  forget(field) {
    this.#values.delete(field);
    this.#lastSeen.delete(field);
  }

  /** How a sample follows that was taken while it was not certain that anybody listened. */
  linkTo(time) {
    return time - this.lastTime() <= IDLE_LONGEST_MS ? LINK.joined : LINK.byTime;
  }

  clear() {
    this.#count = 0;
    this.#end = 0;
  }

  #slot(index) {
    return (this.#end - this.#count + index + this.#capacity) % this.#capacity;
  }

  // Index 0 is the oldest sample that is kept.

  timeAt(index) {
    return this.#times[this.#slot(index)];
  }

  valueAt(field, index) {
    return index < 0 || index >= this.#count ? NaN : this.#values.get(field)?.[this.#slot(index)] ?? NaN;
  }

  /** Whether no line may be drawn from the sample before to this one. */
  brokenAt(index, longestMs) {
    const link = this.#links[this.#slot(index)];
    if (link !== LINK.byTime) return link === LINK.broken;
    return index > 0 && this.timeAt(index) - this.timeAt(index - 1) > longestMs;
  }

  last(field, back = 0) {
    return this.valueAt(field, this.#count - 1 - back);
  }

  lastTime() {
    return this.#count ? this.timeAt(this.#count - 1) : -Infinity;
  }

  /** The first sample that is not before a time; `length` when all are. */
  indexFrom(time) {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.timeAt(middle) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The sample nearest to a time, -1 when there is none within `withinMs`. */
  indexNear(time, withinMs) {
    const after = this.indexFrom(time);
    const candidates = [after - 1, after].filter((index) => index >= 0 && index < this.#count);
    const distance = (index) => Math.abs(this.timeAt(index) - time);
    const nearest = candidates.sort((a, b) => distance(a) - distance(b))[0] ?? -1;
    return nearest >= 0 && distance(nearest) <= withinMs ? nearest : -1;
  }

  /** @returns {?{first: number, last: number, low: number, high: number, mean: number}}  over the samples since a time */
  stats(field, since) {
    let found = null;
    let sum = 0;
    let count = 0;
    for (let index = this.indexFrom(since); index < this.#count; index += 1) {
      const value = this.valueAt(field, index);
      if (Number.isNaN(value)) continue;
      found ??= { first: value, low: value, high: value };
      found.low = Math.min(found.low, value);
      found.high = Math.max(found.high, value);
      found.last = value;
      sum += value;
      count += 1;
    }
    return found && { ...found, mean: sum / count };
  }
}

/** Round numbers that divide a range into about `count` parts: `{low, high, step}`, the range widened to them. */
export function roundRange(low, high, count, stepMin = 0) {
  const raw = Math.max((high - low) / count, stepMin, Number.EPSILON);
  const power = 10 ** Math.floor(Math.log10(raw));
  const isWhole = (factor) => !stepMin || Number.isInteger((factor * power) / stepMin);
  const factor = [1, 2, 2.5, 5, 10].find((each) => each * power >= raw * 0.999 && isWhole(each)) ?? 10;
  const step = Math.max(factor * power, stepMin);
  return { low: Math.floor(low / step + 1e-9) * step, high: Math.ceil(high / step - 1e-9) * step, step };
}
