// The soft keyboard of a phone: what of the page is left beside it is the page, so that the field to write in is never under it.
// Chrome and Firefox make the page smaller themselves (`interactive-widget` in index.html); Safari lays the keyboard over it.

/** Below this it is a toolbar that has come or gone. */
const KEYBOARD_PX_MIN = 100;

/** Lets the style sheet know the height that can be seen, as `--seen-height`, while a keyboard takes some of it. */
export function followKeyboard() {
  const { visualViewport: viewport } = window;
  if (!viewport) return;
  const root = document.documentElement;
  const fit = () => {
    // Whoever has zoomed in sees a part of the page, and wants to.
    const hidden = viewport.scale > 1.01 ? 0 : window.innerHeight - viewport.height;
    const isOpen = hidden >= KEYBOARD_PX_MIN;
    root.classList.toggle('has-keyboard', isOpen);
    if (!isOpen) return root.style.removeProperty('--seen-height');
    root.style.setProperty('--seen-height', `${Math.floor(viewport.height)}px`);
    window.scrollTo(0, 0); // Safari has moved the page up, by as much as the keyboard is high
    return undefined;
  };
  viewport.addEventListener('resize', fit);
  viewport.addEventListener('scroll', fit);
  requestAnimationFrame(fit); // the sizes are known when the page is laid out: asking for them now would do it once more
}
