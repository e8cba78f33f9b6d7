// The theme of the page: `data-theme` on <html>, light or dark, for the style sheets. A classic script in <head>, so that it
// runs before the first paint; modules run after it. It follows the settings (settings.js), and the system where they say so.

(() => {
  const STORED = 'sarang.settings';
  const systemIsDark = matchMedia('(prefers-color-scheme: dark)');
  const [light, dark] = [...document.querySelectorAll('meta[name="theme-color"]')].map((meta) => [meta, meta.content]);

  const stored = () => {
    try { return JSON.parse(localStorage.getItem(STORED))?.theme; } catch { return undefined; }
  };

  let choice = stored();

  function apply() {
    const isChosen = choice === 'light' || choice === 'dark';
    const theme = isChosen ? choice : systemIsDark.matches ? 'dark' : 'light';
    document.documentElement.dataset.theme = theme;
    // What the browser itself paints: around the page, and before the style sheet is there.
    document.querySelector('meta[name="color-scheme"]')?.setAttribute('content', isChosen ? theme : 'light dark');
    for (const [meta, own] of [light, dark].filter(Boolean)) meta.content = isChosen ? (theme === 'dark' ? dark : light)[1] : own;
  }

  apply();
  systemIsDark.addEventListener('change', apply);
  addEventListener('storage', ({ key }) => {
    if (key !== STORED && key !== null) return;
    choice = stored();
    apply();
  });
  // From settings.js, also where nothing can be stored.
  addEventListener(STORED, ({ detail }) => {
    choice = detail.theme;
    apply();
  });
})();
