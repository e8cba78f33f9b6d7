// The dashboard: what is received goes into rings of samples, and once per frame onto the screen.
// stream.js listens to the server, series.js remembers, chart.js and gauge.js draw, figure.js puts a name and numbers to
// a chart, dashboard-words.js has the words.

import { CHANNELS, PERIOD_MS, SignedOut, Stream } from './stream.js';
import { Figure } from './figure.js';
import { Gauge } from './gauge.js';
import { LINK, Series } from './series.js';
import { Session } from './session.js';
import { settings } from './settings.js';
import { Health } from './health.js';
import { FIELDS, LIMITS, PLANS, SECTIONS, numbersOf } from './plans.js';
import { POSTED_SHOWN_MAX, Posted } from './posted.js';
import { byId, el, icon, reconcile, setText } from './view.js';
import { age, clock, clockShort, count, percent, scale, signed, signedPercent, translate, words } from './dashboard-words.js';

const WINDOWS_MIN = [1, 5, 15];
const WINDOW_DEFAULT_MIN = 5;
/** A full window, and some for events that come between: a back end posts its figures as often as it likes. */
const SAMPLES_BETWEEN = { system_metrics: 100, api_metrics: 100, business_metrics: 460 };
const samplesKept = (kind) => (Math.max(...WINDOWS_MIN) * 60_000) / PERIOD_MS[kind] + SAMPLES_BETWEEN[kind];
/** Numbers that are kept of what a back end posts: more than are drawn, so that it is said how many are not. */
const POSTED_KEPT_MAX = POSTED_SHOWN_MAX * 3;
const MARKS_MAX = 50;
const TICK_MS = 1_000;
/** A screen reader is told of a new level at most this often. */
const SPEAK_EVERY_MS = 30_000;
const TABLE_EVERY_MS = 5_000;
const RESUMED_SHOWN_MS = 15_000;
/** A hidden page keeps its connection for so long, since one often comes back at once. */
const HIDDEN_REST_MS = 15_000;

translate(document);

const series = Object.fromEntries(Object.entries(FIELDS).map(([kind, fields]) => [
  kind, new Series(samplesKept(kind), fields, kind === 'business_metrics' ? POSTED_KEPT_MAX : 0),
]));

// Only what can change: the choices live in the address, so that a link or a wall screen keeps them.
const query = new URLSearchParams(location.search);
let channel = Object.hasOwn(CHANNELS, query.get('channel') ?? '') ? query.get('channel') : 'dashboard';
let minutes = WINDOWS_MIN.includes(Number(query.get('minutes'))) ? Number(query.get('minutes')) : WINDOW_DEFAULT_MIN;
/** When something was lost, the newest last. @type {{time: number, text: string}[]} */ const marks = [];
let unseenGaps = 0;
/** How the next sample of a kind follows the one before, when its time does not say so. @type {Map<string, number>} */ const links = new Map();
let cursor = null;
let lastArrival = -Infinity;
let lastId = null;
let subscribers = NaN;
let simulated = [];
/** Figures that the server's system does not report. @type {string[]} */ let unreported = [];

// The figures

const house = {
  words, clock, clockShort, scale,
  changeFormat: { change: signed, proportion: signedPercent },
  cursor: (time) => { cursor = time; changed(); },
  resized: () => changed(),
};

function makeFigure(plan) {
  const kind = SECTIONS[plan.section];
  const figure = new Figure({ ...plan, series: series[kind], periodMs: PERIOD_MS[kind] }, house);
  byId(plan.section).querySelector('.figure-places').append(figure.element);
  return figure;
}
const ours = PLANS.map(makeFigure);
const posted = new Posted(series.business_metrics, makeFigure, byId('more-figures'));
const allFigures = () => [...ours, ...posted.figures];
for (const [section, kind] of Object.entries(SECTIONS)) byId(section).querySelector('.every').textContent = words.every(PERIOD_MS[kind] / 1_000);

const health = new Health(series, byId('verdict'), byId('checks'));
const gauges = ['cpu', 'memory', 'disk'].map((field) => {
  const gauge = new Gauge({ id: `gauge-${field}`, name: words[field], limits: LIMITS, format: percent, words });
  byId('gauges').append(gauge.element);
  return { field, gauge, level: 0 };
});

// The stream

let session = null;
async function ticket() {
  if (!session || session.ended) {
    session = Session.recall();
    // An open stream needs no extending: should it end with its token, the next one is opened with a newer.
    session?.start({ extend: async () => {}, renewalRefused: () => {}, ended: () => {} });
  }
  if (!session) throw new SignedOut();
  const mine = session;
  try {
    return await mine.ticket();
  } catch (error) {
    throw mine.ended ? new SignedOut() : error;
  }
}

const stream = new Stream({ ticket });
stream.addEventListener('state', showState);
stream.addEventListener('series', ({ detail }) => {
  for (const [name, kind] of [['system', 'system_metrics'], ['api', 'api_metrics'], ['business', 'business_metrics']]) {
    series[kind].fill(detail[name] ?? {}, (data) => numbersOf(kind, data));
    links.set(kind, LINK.joined);
  }
  health.renew();
  showSections();
  changed();
});
stream.addEventListener('seen', ({ detail }) => note(detail));
stream.addEventListener('samples', ({ detail: samples }) => {
  for (const sample of samples) {
    const { kind, data, time } = sample;
    if (typeof data !== 'object' || data === null) continue;
    // Up to its first event after the series, the server may have sampled seldom.
    const link = links.get(kind) === LINK.joined ? series[kind].linkTo(time) : links.get(kind);
    links.delete(kind);
    series[kind].push(time, numbersOf(kind, data), link);
    note(sample);
  }
  lastArrival = performance.now();
  showSections();
  changed();
});

/** What an event tells besides the numbers of a series. */
function note({ kind, id, data }) {
  lastId = id;
  if (typeof data?.subscribers === 'number') subscribers = data.subscribers;
  if (kind === 'system_metrics') unreported = Object.keys(data).filter((field) => data[field] === null);
  if (kind === 'business_metrics') simulated = Array.isArray(data.simulated) ? data.simulated : [];
}
stream.addEventListener('gap', ({ detail: { restarted, from, to, time } }) => {
  for (const kind of Object.keys(series)) links.set(kind, LINK.broken);
  const gone = to - from + 1;
  const at = clock(time);
  const text = restarted || !(gone > 0) ? words.gap_restarted(at)
    : gone === 1 ? words.gap_one(at, count(from)) : words.gap_lost(at, count(from), count(to), count(gone));
  marks.push({ time, text });
  if (marks.length > MARKS_MAX) marks.shift();
  unseenGaps += 1;
  showGap();
  showState();
});
stream.addEventListener('resumed', ({ detail: { count: events, forMs } }) => {
  if (unseenGaps || !events) return;
  tell('resumed', words.resumed(count(Math.max(1, Math.round(forMs / 1_000))), events));
  const later = () => {
    // Whoever is at its button is not done with it.
    if (byId('told').contains(document.activeElement)) toldTimer = setTimeout(later, RESUMED_SHOWN_MS);
    else tell(null);
  };
  toldTimer = setTimeout(later, RESUMED_SHOWN_MS);
});

// What is said of the connection

function showState() {
  const { name, reason, status, retryAt } = stream.state;
  const isConnected = name === 'connected';
  const isReconnecting = name === 'reconnecting';
  const state = byId('state');
  state.className = `state is-${name}${isConnected && unseenGaps ? ' has-gap' : ''}`;
  setText(state, isConnected && unseenGaps ? words.gap_seen : words[name.replace('-', '_')]);
  document.body.classList.toggle('is-stale', !isConnected);
  document.title = isReconnecting ? words.document_lost : words.document_title;
  byId('sign-in').hidden = name !== 'signed-out';
  byId('banner').hidden = !isReconnecting;
  if (isReconnecting) {
    setText(byId('banner-text'), reason === 'refused' ? words.lost.refused(status) : words.lost[reason]);
    byId('try-now').setAttribute('aria-disabled', retryAt === null);
    showCountdown();
  }
  showSections();
  changed();
}

function showCountdown() {
  const { name, retryAt } = stream.state;
  if (name !== 'reconnecting') return;
  const seconds = Math.max(1, Math.ceil((retryAt - performance.now()) / 1_000));
  setText(byId('banner-time'), retryAt === null ? words.retrying : words.retry_in(seconds));
}

function showGap() {
  const text = [marks.at(-1).text, unseenGaps > 1 && words.gap_others(unseenGaps - 1)].filter(Boolean).join(' ');
  tell('gap', text);
}

let toldTimer;
/** Shows what was missed, or that nothing was, until it is dismissed. @param {?('gap'|'resumed')} kind */
function tell(kind, text) {
  const place = byId('told');
  clearTimeout(toldTimer); // it was of what was told before
  place.dataset.kind = kind ?? '';
  if (!kind) return place.replaceChildren();
  const dismiss = () => {
    unseenGaps = 0;
    tell(null);
    showState();
    byId('figures').focus({ preventScroll: true });
  };
  place.replaceChildren(icon(kind === 'gap' ? 'gap' : 'ok'), el('p', {}, text), el('button', { class: 'quiet', type: 'button', onclick: dismiss }, words.dismiss));
}

// Choices

const isChosen = (kind) => CHANNELS[channel].includes(kind);

function showSections() {
  const isOut = stream.state.name === 'signed-out';
  posted.update();
  for (const [section, kind] of Object.entries(SECTIONS)) {
    const isTold = ours.some(({ plan, isShown }) => plan.section === section && isShown);
    byId(section).hidden = isOut || !isTold || !isChosen(kind);
  }
  byId('health').hidden = isOut;
  document.body.dataset.sections = CHANNELS[channel].length;
}

function rememberChoices() {
  const choices = new URLSearchParams({ channel, minutes });
  history.replaceState(null, '', `?${choices}`);
}

function setUpChoices() {
  const select = byId('channel');
  select.append(...Object.keys(CHANNELS).map((name) => el('option', { value: name, selected: name === channel }, words.channels[name])));
  select.addEventListener('change', () => {
    channel = select.value;
    rememberChoices();
    health.renew();
    showSections();
    stream.open(channel);
  });
  byId('windows').append(...WINDOWS_MIN.map((each) => el('label', {}, el('input', {
    type: 'radio', name: 'window', value: each, checked: each === minutes,
    onchange: () => { minutes = each; rememberChoices(); cursor = null; changed(); },
  }), el('span', {}, words.minutes(each)))));
  byId('try-now').addEventListener('click', () => stream.tryNow());
}

/** What a person chooses for all pages of this browser. */
function setUpPreferences() {
  for (const [name, texts] of [['theme', words.themes], ['language', words.languages]]) {
    const select = byId(name);
    select.append(...Object.entries(texts).map(([value, text]) => el('option', { value }, text)));
    const show = () => { select.value = settings.get(name); };
    select.addEventListener('change', () => settings.set(name, select.value));
    settings.onChange(name, show);
    show();
  }
  // Words are written once, when the page opens.
  settings.onChange('language', () => location.reload());
}

// Onto the screen

let frame = 0;
/** Draws with the next frame, however much has changed until then; a hidden page draws nothing. */
function changed() {
  if (frame || document.hidden) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    draw();
  });
}

function draw() {
  const now = stream.now();
  const view = { now, windowMs: minutes * 60_000, windowName: words.minutes(minutes), cursor, marks };
  health.show(now, stream.state.name === 'connected', isChosen);
  for (const figure of allFigures()) {
    figure.label(simulated);
    if (!byId(figure.plan.section).hidden) figure.draw(view);
  }
  for (const each of gauges) each.shown = each.gauge.show(series.system_metrics.last(each.field), !unreported.includes(each.field));
  setText(byId('last-id'), lastId === null ? words.none : String(lastId));
  byId('last-id').dataset.id = lastId ?? '';
  setText(byId('subscribers'), count(subscribers));
  showAge();
  speak();
}

const showAge = () => setText(byId('age'), lastArrival === -Infinity ? words.none : age(performance.now() - lastArrival));

let spokeAt = -Infinity;
/** Says aloud when a level has changed; a value a second would be noise. */
function speak() {
  const levels = gauges.filter(({ shown }) => shown >= 0);
  if (!levels.some(({ level, shown }) => level !== shown) || performance.now() - spokeAt < SPEAK_EVERY_MS) return;
  spokeAt = performance.now();
  for (const each of levels) each.level = each.shown;
  const parts = levels.map(({ field, shown }) => `${words[field]} ${percent(series.system_metrics.last(field))} ${words.levels[shown]}`);
  setText(byId('spoken'), words.summary(parts));
}

let tableAt = -Infinity;
function fillTable() {
  tableAt = performance.now();
  const since = stream.now() - minutes * 60_000;
  setText(byId('numbers-caption'), words.table_caption(words.minutes(minutes)));
  const rows = allFigures().filter(({ plan, isShown }) => isShown && isChosen(SECTIONS[plan.section]))
    .flatMap(({ plan }) => plan.lines.map(({ field, name }) => ({ plan, field, name: name ?? plan.name })));
  reconcile(byId('rows'), rows, ({ plan, field }) => `${plan.id} ${field}`, makeRow, (row, { plan, field }) => {
    const stats = plan.series.stats(field, since);
    const { format } = plan;
    const shown = stats ? [format(stats.last), signed(stats.last - stats.first), format(stats.low), format(stats.mean), format(stats.high)] : [];
    [...row.children].slice(1).forEach((cell, column) => setText(cell, shown[column] ?? words.none));
  });
}

const makeRow = ({ name }) => el('tr', {}, el('th', { scope: 'row' }, name), ...words.columns.slice(1).map(() => el('td', {}, words.none)));

function setUpTable() {
  byId('columns').append(...words.columns.map((name) => el('th', { scope: 'col' }, name)));
  byId('numbers').addEventListener('toggle', fillTable);
}

function tick() {
  if (document.hidden) return;
  showCountdown();
  if (byId('numbers').open && performance.now() - tableAt > TABLE_EVERY_MS) fillTable();
  changed();
}

setUpChoices();
setUpPreferences();
setUpTable();
fillTable();
setInterval(tick, TICK_MS);
let restTimer;
let isOpened = false;
/** A browser has six connections for all its tabs: those that nobody sees need none. */
function openIfSeen() {
  clearTimeout(restTimer);
  if (document.hidden) restTimer = setTimeout(() => stream.close(), HIDDEN_REST_MS);
  else if (!isOpened) stream.open(channel);
  else if (stream.state.name !== 'reconnecting') stream.tryNow();
  isOpened ||= !document.hidden;
}
document.addEventListener('visibilitychange', () => {
  openIfSeen();
  tick();
});
// Somebody may have signed in, in another tab.
Session.onSignIn(() => stream.state.name === 'signed-out' && stream.tryNow());
addEventListener('online', () => isOpened && !document.hidden && stream.tryNow());
// A page that is kept for the way back must not hold a connection.
addEventListener('pagehide', () => stream.close());
addEventListener('pageshow', ({ persisted }) => persisted && stream.tryNow());
document.addEventListener('pointerdown', ({ target }) => { if (cursor !== null && !target.closest('.plot')) house.cursor(null); });
openIfSeen();
