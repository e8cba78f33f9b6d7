// That something is unread, outside the page: a dot on its icon, and the number at the icon of the installed page, where there is one.

import { el } from './view.js';

const DOTTED = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='6' fill='#2c6658'/>
<rect x='6' y='5' width='20' height='22' fill='#f8f2e4'/><path d='M11 5v22M16 5v22M21 5v22M6 9h20M6 12h20M6 16h20M6 20h20M6 23h20' stroke='#4a3728' stroke-width='1.3'/>
<circle cx='24' cy='8' r='8' fill='#d8402a' stroke='#fff' stroke-width='2'/></svg>`)}`;

const plain = [...document.querySelectorAll('link[rel~="icon"]')];
let shown = 0;

/** @param {number} unread */
export function showOnIcon(unread) {
  if (unread === shown) return;
  if (Boolean(unread) !== Boolean(shown)) {
    document.querySelectorAll('link[rel~="icon"]').forEach((link) => link.remove()); // an icon whose address is changed in place is not always drawn anew
    document.head.append(...(unread ? [el('link', { rel: 'icon', type: 'image/svg+xml', href: DOTTED })] : plain));
  }
  shown = unread;
  // Only installed pages have a number; elsewhere it is refused, which does not matter.
  if (unread) navigator.setAppBadge?.(unread).catch(() => {});
  else navigator.clearAppBadge?.().catch(() => {});
}
