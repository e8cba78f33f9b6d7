// Text on the clipboard.

/** @returns {Promise<boolean>} whether it is there now */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text); // in secure contexts only, and where it is permitted
    return true;
  } catch {
    return copySelected(text);
  }
}

/** As a person would, by selecting it; the focus and what was selected before come back. */
function copySelected(text) {
  const focused = document.activeElement;
  const selection = getSelection();
  const before = selection.rangeCount ? selection.getRangeAt(0) : null;
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
    if (before) {
      selection.removeAllRanges();
      selection.addRange(before);
    }
  }
}
