// A part of sarang.js: what of a room's past was reported, so that a history which is told again adds only what is new.

const REPORTED_MAX = 100; // twice what the server tells of a room's past: it may have lost the newest of them

/** "EPOCH:SEQ" as `{epoch, seq}`. */
function parsePosition(position) {
  const colon = position.lastIndexOf(':');
  return { epoch: position.slice(0, colon), seq: Number(position.slice(colon + 1)) };
}

export const seqOf = (position) => position && parsePosition(position).seq;
const isDeleted = ({ type }) => type === 'deleted';
/** What a message is known by in another epoch, beside its number. */
const textOf = ({ username, content, timestamp }) => JSON.stringify([username, content, timestamp]);

export class Past {
  /** Null before the first join. @type {?string} */ epoch = null;
  seq = 0;
  /** {seq, text}, the newest last; in any epoch */
  #reported = [];
  /** {epoch, after}: what was reported up to the number `after` goes on in this epoch, under the same numbers. */
  #epochs = [];

  /** Up to where the room is known, for `since`. @type {string|undefined} */
  get position() {
    return this.epoch === null ? undefined : `${this.epoch}:${this.seq}`;
  }

  has(position) {
    const { epoch, seq } = parsePosition(position);
    return epoch === this.epoch && seq <= this.seq;
  }

  /** Takes what a join tells. `deleted` are positions, as they were reported, of messages that are gone by now. */
  take({ position, history, recovered }) {
    const { epoch, seq } = parsePosition(position);
    const [first, goesOn] = [this.epoch === null, this.epoch === epoch];
    const known = 1 + (goesOn ? history.findLastIndex((message) => seqOf(message.position) <= this.seq) : this.#lastKnown(history));
    const fresh = history.slice(known);
    const gap = !first && !recovered && !(goesOn && seq - this.seq === fresh.length);
    if (!goesOn) this.#epochs = known ? [...this.#epochs, { epoch, after: seqOf(history[known - 1].position) }] : [{ epoch, after: 0 }];
    Object.assign(this, { epoch, seq });
    const deleted = history.slice(0, known).filter(isDeleted).map((message) => this.reportedAt(message.position));
    return { first, renewed: !goesOn, fresh, deleted, gap };
  }

  /** Takes the position of a message that was said: null if it is known, else whether there is a gap before it. */
  hear(position) {
    const { epoch, seq } = parsePosition(position);
    const goesOn = epoch === this.epoch;
    if (goesOn && seq <= this.seq) return null;
    const gap = !goesOn || seq > this.seq + 1;
    if (!goesOn) this.#epochs = [{ epoch, after: 0 }];
    Object.assign(this, { epoch, seq });
    return gap;
  }

  /** Notes a message that is reported: the room's next epoch may begin with it. */
  note(message) {
    this.#reported = [...this.#reported.slice(1 - REPORTED_MAX), { seq: seqOf(message.position), text: textOf(message) }];
  }

  /** The position under which the message was reported that has this one now. */
  reportedAt(position) {
    const { epoch, seq } = parsePosition(position);
    if (epoch !== this.epoch) return position;
    return `${this.#epochs.findLast(({ after }) => seq > after)?.epoch ?? epoch}:${seq}`;
  }

  /** The position that the message has now which was reported under this one. */
  nowAt(position) {
    const { epoch, seq } = parsePosition(position);
    const known = this.#epochs.findIndex((other) => other.epoch === epoch);
    const goesOn = known >= 0 && this.#epochs.slice(known + 1).every(({ after }) => seq <= after);
    return goesOn ? `${this.epoch}:${seq}` : position;
  }

  /** In another epoch: the index of the last message that was reported, and of what was deleted right behind it, or -1. */
  #lastKnown(history) {
    const at = (message) => this.#reported.filter(({ seq }) => seq === seqOf(message.position));
    let last = history.findLastIndex((message) => !isDeleted(message) && at(message).some(({ text }) => text === textOf(message)));
    while (last >= 0 && history[last + 1] && isDeleted(history[last + 1]) && at(history[last + 1]).length) last += 1;
    return last;
  }
}
