// Links to single messages: `?room=NAME&at=EPOCH:SEQ`.

/** @param {string} room @param {string} position */
export function linkTo(room, position) {
  return `${location.href.split(/[?#]/u)[0]}?room=${encodeURIComponent(room)}&at=${encodeURIComponent(position)}`;
}

/** @returns {Promise<boolean>} whether it is on the clipboard now */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text); // in secure contexts only
    return true;
  } catch {
    return copySelected(text);
  }
}

function copySelected(text) {
  const focused = document.activeElement;
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'unseen';
  document.body.append(field);
  field.select();
  try {
    return document.execCommand('copy');
  } catch {
    return false;
  } finally {
    field.remove();
    focused?.focus({ preventScroll: true });
  }
}
