// The server's clock, as far as its events tell it: the clock of this machine may be minutes off, and samples are placed
// by the time they were taken.

/** An event is that late only when a clock was set, or it was held up on its way; the next one tells which. */
const SET_FORWARD_MS = 30_000;
/** A `Date` field has whole seconds: below this it says no more than that the clocks agree. */
const DATE_FIELD_MS = 2_000;

export class ServerClock {
  /** By how much our clock is ahead of the server's. @type {?number} */ #aheadMs = null;

  now() {
    return Date.now() - (this.#aheadMs ?? 0);
  }

  /**
   * The time an event carries, in milliseconds since 1970; null when it has none.
   * @param {unknown} text  RFC 3339
   * @param {boolean} isLive  it was sent when it was made, so that it cannot be old
   */
  timeOf(text, isLive) {
    const time = typeof text === 'string' ? Date.parse(text) : NaN;
    if (Number.isNaN(time)) return null;
    const late = Date.now() - time;
    if (isLive && (this.#aheadMs === null || late < this.#aheadMs || late - this.#aheadMs > SET_FORWARD_MS)) this.#aheadMs = late;
    return time;
  }

  /** A first estimate from the `Date` field of an answer, until events tell better. @param {?string} text */
  estimate(text) {
    const ahead = Date.now() - Date.parse(text ?? '');
    if (this.#aheadMs === null && Math.abs(ahead) > DATE_FIELD_MS) this.#aheadMs = ahead;
  }
}
