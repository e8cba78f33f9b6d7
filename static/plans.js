// What the dashboard shows: which number of which event is drawn where and how.

import { PERIOD_MS } from './stream.js';
import { bytes, count, milliseconds, percent, percentFine, rate, words } from './dashboard-words.js';

/** From which share of the machine on it is much, and from which it is too much. */
export const LIMITS = [70, 90];
/** Sections of the page, and the kind of event that has their numbers. */
export const SECTIONS = { realtime: 'api_metrics', api: 'api_metrics', system: 'system_metrics', business: 'business_metrics' };

const isNumber = (value) => typeof value === 'number';

/** The numbers of an event, with those that follow from others: counts of an interval become rates. */
export function numbersOf(kind, data) {
  if (kind !== 'api_metrics') return data;
  const seconds = data.seconds > 0 ? data.seconds : PERIOD_MS.api_metrics / 1_000;
  const perSecond = (value) => (isNumber(value) ? value / seconds : null);
  const others = data.connections - data.websockets - data.event_streams;
  const upOrDown = (value) => (typeof value === 'boolean' ? Number(value) : value);
  return {
    ...data,
    covers_ms: seconds * 1_000,
    request_rate: perSecond(data.requests),
    message_rate: perSecond(data.messages),
    delivery_rate: perSecond(data.deliveries),
    other_connections: Number.isNaN(others) ? null : Math.max(0, others),
    store_up: upOrDown(data.store_up),
    engine_up: upOrDown(data.engine_up),
  };
}

const highest = (stats, format) => (stats ? words.highest(format(stats.high)) : '');
const meanAndHighest = (field, format) => (samples, since, window) => {
  const stats = samples.stats(field, since);
  return stats ? [words.mean(window, format(stats.mean)), highest(stats, format)] : [];
};
const highestOf = (field, format) => (samples, since) => [highest(samples.stats(field, since), format)];

function requestNotes(samples, since, window) {
  const [mean, high] = meanAndHighest('request_rate', rate)(samples, since, window);
  const total = samples.last('total_requests');
  return [mean, Number.isNaN(total) ? high : words.in_total(count(total))];
}

const storeNotes = (samples, since) => [highest(samples.stats('store_commit_ms', since), milliseconds), words.store_waiting(count(samples.last('store_queue')))];

/** Lines are told apart by a tone, a dash and a shape each. */
const STYLES = [{ tone: 'api', marker: 'circle' }, { tone: 'cpu', marker: 'square', dash: '7 3.5' }, { tone: 'business', marker: 'diamond', dash: '2 3' }];
const lines = (...fields) => fields.map((field, index) => ({ field, name: words.lines[field], ...STYLES[index] }));
/** Most figures have one line. */
const one = (id, field, tone, plan) => ({ id, name: words[id], lines: [{ field, tone }], ...plan });

/**
 * `optional`: shown only when the server tells the number; `unless`: a field whose numbers make this figure superfluous.
 * @type {import('./figure.js').FigurePlan[]}
 */
export const PLANS = [
  { id: 'people', section: 'realtime', name: words.people, shape: 'step', low: 0, stepMin: 1, format: count, optional: true, lines: lines('users', 'rooms') },
  {
    id: 'connections', section: 'realtime', name: words.connections, shape: 'step', low: 0, stepMin: 1, format: count, optional: true,
    lines: lines('websockets', 'event_streams', 'other_connections'),
  },
  {
    id: 'traffic', section: 'realtime', name: words.traffic, shape: 'line', low: 0, highMin: 1, format: rate, unit: 'rate', optional: true,
    lines: lines('delivery_rate', 'message_rate'),
  },
  one('outbox', 'outbox_peak_bytes', 'api', {
    section: 'realtime', hint: words.high_water, shape: 'line', low: 0, highMin: 1_000, format: bytes, unit: 'bytes', optional: true, notes: highestOf('outbox_peak_bytes', bytes),
  }),
  {
    id: 'refusals', section: 'realtime', name: words.refusals, shape: 'step', low: 0, stepMin: 1, format: count, optional: true,
    lines: lines('refused', 'slow_consumers').map((line, index) => ({ ...line, tone: ['errors', 'disk'][index] })),
  },
  one('store', 'store_commit_ms', 'api', {
    section: 'realtime', hint: words.per_commit, shape: 'line', low: 0, format: milliseconds, unit: 'ms', optional: true, notes: storeNotes,
  }),

  one('requests', 'request_rate', 'api', {
    section: 'api', shape: 'bars', low: 0, highMin: 1, covers: 'covers_ms', format: rate, unit: 'rate', notes: requestNotes,
  }),
  one('response', 'avg_response_ms', 'api', {
    section: 'api', shape: 'line', low: 0, format: milliseconds, unit: 'ms', unless: 'p50_ms', notes: meanAndHighest('avg_response_ms', milliseconds),
  }),
  {
    id: 'percentiles', section: 'api', name: words.percentiles, shape: 'line', low: 0, format: milliseconds, unit: 'ms', optional: true,
    lines: lines('p50_ms', 'p95_ms', 'p99_ms'),
  },
  one('errors', 'error_rate', 'errors', {
    section: 'api', shape: 'bars', low: 0, highMin: 1, covers: 'covers_ms', format: percentFine, unit: 'percent', notes: meanAndHighest('error_rate', percentFine),
  }),

  {
    id: 'machine', section: 'system', name: words.machine, shape: 'line', low: 0, high: 100, limits: LIMITS, format: percent, unit: 'percent',
    lines: [
      { field: 'cpu', name: words.cpu, tone: 'cpu', marker: 'circle' },
      { field: 'memory', name: words.memory, tone: 'memory', marker: 'square', dash: '7 3.5' },
      { field: 'disk', name: words.disk, tone: 'disk', marker: 'diamond', dash: '2 3' },
    ],
  },

  one('users', 'active_users', 'business', { section: 'business', shape: 'step', low: 0, stepMin: 1, format: count, changes: true }),
];

/** Fields of each kind that are drawn; of `business_metrics` also what a back end posts. */
export const FIELDS = {
  system_metrics: ['cpu', 'memory', 'disk'],
  api_metrics: [
    'requests', 'request_rate', 'avg_response_ms', 'error_rate', 'total_requests', 'p50_ms', 'p95_ms', 'p99_ms', 'covers_ms', 'rooms', 'users', 'websockets', 'event_streams',
    'other_connections', 'message_rate', 'delivery_rate', 'outbox_peak_bytes', 'refused', 'slow_consumers', 'store_up', 'store_queue', 'store_commit_ms', 'engine_up',
  ],
  business_metrics: ['active_users'],
};
