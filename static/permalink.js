// Links to single messages: `?room=NAME&at=EPOCH:SEQ`.

/** @param {string} room @param {string} position */
export function linkTo(room, position) {
  return `${location.href.split(/[?#]/u)[0]}?room=${encodeURIComponent(room)}&at=${encodeURIComponent(position)}`;
}
