// Links to rooms and to single messages: `?room=NAME&at=EPOCH:SEQ`.

/** @param {string} room  @param {string} [position]  of a message in it */
export function linkTo(room, position) {
  const at = position ? `&at=${encodeURIComponent(position)}` : '';
  return `${location.href.split(/[?#]/u)[0]}?room=${encodeURIComponent(room)}${at}`;
}
