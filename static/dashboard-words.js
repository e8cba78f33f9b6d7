// The dashboard's words in Korean and English, and its numbers and times in the visitor's language.

import { language, locale, pick } from './language.js';
import { words as ofSettings } from './words-settings.js';

const ko = {
  title: '현황판',
  document_title: '사랑방 현황판',
  document_lost: '(끊김) 사랑방 현황판',
  skip: '현황으로 건너뛰기',
  to_chat: '채팅',
  channel: '채널',
  channels: { dashboard: '현황판 채널', all: '전체 채널', system: '시스템 채널', api: 'API 채널', business: '비즈니스 채널' },
  window: '보는 시간',
  minutes: (n) => `${n}분`,

  connection: '연결',
  connecting: '연결하는 중',
  connected: '연결됨',
  gap_seen: '빠진 값 있음',
  reconnecting: '다시 연결하는 중',
  signed_out: '로그인 필요',
  last_event: '마지막 이벤트',
  last_id: '번호',
  subscribers: '구독자',
  lost: { lost: '연결이 끊겼습니다.', silent: '값이 오지 않아 연결을 새로 엽니다.', refused: (status) => `서버가 연결을 받지 않았습니다(${status}).` },
  retry_in: (n) => `${n}초 뒤에 다시 시도합니다.`,
  retrying: '지금 시도하고 있습니다.',
  try_now: '지금 시도',
  sign_in_title: '로그인한 사람만 볼 수 있습니다',
  sign_in_text: '채팅 화면에서 로그인한 뒤 이 현황판으로 돌아와 주세요.',
  sign_in: '로그인하러 가기',

  gap_restarted: (time) => `${time} — 서버가 새로 시작되어, 그 사이의 값은 남아 있지 않습니다.`,
  gap_one: (time, id) => `${time} — 이벤트 ${id}번은 사라져 받지 못했습니다.`,
  gap_lost: (time, from, to, n) => `${time} — 이벤트 ${from}–${to}번 ${n}개는 사라져 받지 못했습니다.`,
  gap_others: (n) => `이전에 ${n}번 더 빠졌습니다.`,
  resumed: (seconds, n) => `${seconds}초 동안 끊겼지만 그동안의 이벤트 ${n}개를 모두 받았습니다.`,
  dismiss: '확인',

  realtime: '실시간',
  people: '사람과 방',
  connections: '연결',
  traffic: '메시지와 전달',
  outbox: '가장 큰 송신 대기열',
  high_water: '연결 하나의 최고치',
  refusals: '거절과 느린 연결',
  store: '저장',
  per_commit: '커밋 하나에',
  store_waiting: (n) => `기다리는 쓰기 ${n}`,
  percentiles: '응답 시간',
  lines: {
    users: '사람', rooms: '방', websockets: '웹소켓', event_streams: '이벤트 스트림', other_connections: '그 밖', delivery_rate: '전달', message_rate: '메시지',
    refused: '거절', slow_consumers: '느려서 끊음', p50_ms: 'p50', p95_ms: 'p95', p99_ms: 'p99',
  },
  checks: {
    cpu: 'CPU', memory: '메모리', disk: '디스크', errors: '오류율', p99: '응답 p99', outbox: '송신 대기열', refused: '거절', slow: '느린 연결', store: '저장소', engine: '엔진',
  },
  verdicts: {
    ok: () => '모두 정상', high: (n) => `살펴볼 것 ${n}가지`, critical: (n) => `문제 ${n}가지`, unknown: () => '지금은 알 수 없음',
  },
  history: (window, high, critical) => `지난 ${window}: 높음 ${high}분, 위험 ${critical}분`,
  up_or_down: ['꺼짐', '켜짐'],
  health: '상태',
  more_figures: (n) => `수치 ${n}개는 그리지 않았습니다.`,
  system: '시스템',
  api: 'API',
  business: '비즈니스',
  every: (n) => `${n}초마다`,
  machine: '시스템 사용률',
  cpu: 'CPU',
  memory: '메모리',
  disk: '디스크',
  requests: '초당 요청',
  response: '평균 응답 시간',
  errors: '오류율',
  users: '접속 중인 사람',
  revenue: '매출',
  orders: '주문',
  simulated: '모의 값',
  simulated_why: '실제 값이 아니라 서버가 지어낸 값입니다. POST /events/business로 실제 값을 보내면 바뀝니다.',
  levels: ['여유', '높음', '위험'],
  a_second: (n) => `${n}/초`,
  in_total: (n) => `합계 ${n}`,
  mean: (window, n) => `${window} 평균 ${n}`,
  highest: (n) => `최고 ${n}`,
  since_previous: '직전보다',
  over_window: (window) => `${window} 동안`,
  unchanged: '변화 없음',
  none: '–',
  no_name: '이름 없음',
  no_value: '아직 값이 없습니다',
  not_reported: '알 수 없음',
  not_reported_why: '서버가 실행되는 시스템에서 이 값을 읽을 수 없습니다',
  chart: (name) => `${name} 시간 차트`,
  chart_role: '시간 차트',
  chart_keys: '차트에서는 화살표 키로 값을 하나씩 읽습니다.',

  table: '표로 보기',
  table_caption: (window) => `최근 ${window}의 값`,
  columns: ['항목', '지금', '변화', '최저', '평균', '최고'],
  summary: (parts) => `${parts.join(', ')}.`,
};

const en = {
  title: 'Dashboard',
  document_title: 'Sarangbang dashboard',
  document_lost: '(disconnected) Sarangbang dashboard',
  skip: 'Skip to the figures',
  to_chat: 'Chat',
  channel: 'Channel',
  channels: { dashboard: 'Dashboard channel', all: 'Channel for all', system: 'System channel', api: 'API channel', business: 'Business channel' },
  window: 'Time shown',
  minutes: (n) => `${n} min`,

  connection: 'Connection',
  connecting: 'Connecting',
  connected: 'Connected',
  gap_seen: 'Gap seen',
  reconnecting: 'Reconnecting',
  signed_out: 'Sign-in needed',
  last_event: 'Last event',
  last_id: 'No.',
  subscribers: 'Subscribers',
  lost: { lost: 'The connection is lost.', silent: 'No values arrive: opening the connection anew.', refused: (status) => `The server did not take the connection (${status}).` },
  retry_in: (n) => `Trying again in ${n} s.`,
  retrying: 'Trying now.',
  try_now: 'Try now',
  sign_in_title: 'This is for those who have signed in',
  sign_in_text: 'Please sign in on the chat page and come back to this dashboard.',
  sign_in: 'Go and sign in',

  gap_restarted: (time) => `${time} — the server has started anew; the values in between are gone.`,
  gap_one: (time, id) => `${time} — event ${id} is gone.`,
  gap_lost: (time, from, to, n) => `${time} — events ${from}–${to} are gone (${n}).`,
  gap_others: (n) => (n === 1 ? 'Values were missed once before.' : `Values were missed ${n} times before.`),
  resumed: (seconds, n) => `Disconnected for ${seconds} s, and nothing was missed: ${n === 1 ? '1 event' : `${n} events`} caught up.`,
  dismiss: 'OK',

  realtime: 'Realtime',
  people: 'People and rooms',
  connections: 'Connections',
  traffic: 'Messages and deliveries',
  outbox: 'Largest outbox',
  high_water: 'high water of a connection',
  refusals: 'Refused and too slow',
  store: 'Store',
  per_commit: 'a commit',
  store_waiting: (n) => `${n} waiting`,
  percentiles: 'Response times',
  lines: {
    users: 'People', rooms: 'Rooms', websockets: 'WebSocket', event_streams: 'Event streams', other_connections: 'Others', delivery_rate: 'Deliveries', message_rate: 'Messages',
    refused: 'Refused', slow_consumers: 'Too slow', p50_ms: 'p50', p95_ms: 'p95', p99_ms: 'p99',
  },
  checks: {
    cpu: 'CPU', memory: 'Memory', disk: 'Disk', errors: 'Errors', p99: 'p99', outbox: 'Outbox', refused: 'Refused', slow: 'Too slow', store: 'Store', engine: 'Engine',
  },
  verdicts: {
    ok: () => 'All is well', high: (n) => (n === 1 ? '1 thing to look at' : `${n} things to look at`), critical: (n) => (n === 1 ? '1 problem' : `${n} problems`),
    unknown: () => 'Not known now',
  },
  history: (window, high, critical) => `Last ${window}: high for ${high} min, critical for ${critical} min`,
  up_or_down: ['down', 'up'],
  health: 'Health',
  more_figures: (n) => `${n} more are not drawn.`,
  system: 'System',
  api: 'API',
  business: 'Business',
  every: (n) => `every ${n} s`,
  machine: 'System load',
  cpu: 'CPU',
  memory: 'Memory',
  disk: 'Disk',
  requests: 'Requests a second',
  response: 'Mean response time',
  errors: 'Error rate',
  users: 'People connected',
  revenue: 'Revenue',
  orders: 'Orders',
  simulated: 'simulated',
  simulated_why: 'Not a real figure: the server makes it up until real ones are sent to POST /events/business.',
  levels: ['fine', 'high', 'critical'],
  a_second: (n) => `${n}/s`,
  in_total: (n) => `${n} in total`,
  mean: (window, n) => `mean of ${window} ${n}`,
  highest: (n) => `highest ${n}`,
  since_previous: 'since last',
  over_window: (window) => `over ${window}`,
  unchanged: 'no change',
  none: '–',
  no_name: 'No name',
  no_value: 'No value yet',
  not_reported: 'no figure',
  not_reported_why: 'The system the server runs on does not report this figure',
  chart: (name) => `${name} over time`,
  chart_role: 'time chart',
  chart_keys: 'In a chart, the arrow keys read its values one by one.',

  table: 'As a table',
  table_caption: (window) => `Values of the last ${window}`,
  columns: ['Figure', 'Now', 'Change', 'Lowest', 'Mean', 'Highest'],
  summary: (parts) => `${parts.join(', ')}.`,
};

export const words = { ...ofSettings, ...pick(ko, en) };

const numberFormat = (options) => {
  const format = new Intl.NumberFormat(locale, options);
  return (value) => (Number.isFinite(value) ? format.format(value) : words.none);
};

/** From here on there is no word for so much, and before it only zeros. */
const COMPACT_MAX = 1e16;
/** Smaller numbers are nothing but zeros without a power of ten. */
const PLAIN_MIN = 1e-6;
/** Digits after the point that a scale may need; a step with more is finer than what is measured. */
const SCALE_DIGITS_MAX = 12;
/** The greatest unit that is not greater than the largest value of a scale: `[from, unit, options]`. */
const UNITS = {
  number: [[0, 1, {}]],
  rate: [[0, 1, {}]],
  percent: [[0, 1, { style: 'unit', unit: 'percent' }]],
  ms: [[0, 1, { style: 'unit', unit: 'millisecond' }], [1e3, 1e3, { style: 'unit', unit: 'second', unitDisplay: 'narrow' }]],
  bytes: [[0, 1e3, { style: 'unit', unit: 'kilobyte' }], [1e6, 1e6, { style: 'unit', unit: 'megabyte' }], [1e9, 1e9, { style: 'unit', unit: 'gigabyte' }]],
};
const unitFor = (unit, value) => UNITS[unit].findLast(([from]) => Math.abs(value) >= from) ?? UNITS[unit][0];
const withUnit = (unit, text) => (unit === 'rate' ? words.a_second(text) : text);

const formats = new Map();
/** Formats with 0, 1, 2… digits, made once for each unit. */
function formatsOf(options) {
  const key = `${options.unit} ${options.notation}`;
  if (!formats.has(key)) {
    formats.set(key, Array.from({ length: SCALE_DIGITS_MAX + 1 }, (_, digits) => numberFormat({ ...options, maximumFractionDigits: digits })));
  }
  return formats.get(key);
}

/** The numbers of a scale, with their unit and as few digits as show each exactly. @param {keyof UNITS} unit */
export function scale(values, unit = 'number') {
  const [, divisor, options] = unitFor(unit, Math.max(...values.map(Math.abs)));
  const shown = values.map((value) => value / divisor);
  const compactly = formatsOf({ ...options, notation: 'compact' });
  const all = Math.max(...shown.map(Math.abs)) < COMPACT_MAX ? compactly : formatsOf({ ...options, notation: 'scientific' });
  const exact = shown.map(all.at(-1));
  const format = all.find((each) => shown.every((value, index) => each(value) === exact[index]));
  return shown.map((value) => withUnit(unit, (value ? format : compactly[0])(value)));
}

/** From here on a number needs more room than there is. */
const IN_FULL_MAX = 1e5;
/** A format for single values: the digits that three places of the value have, unless `digits` says how many. */
export function valueFormat(unit, digits = null) {
  return (value) => {
    if (!Number.isFinite(value)) return words.none;
    const [, divisor, options] = unitFor(unit, value);
    const shown = value / divisor;
    const places = digits ?? (Math.abs(shown) < 10 ? 2 : Math.abs(shown) < 100 ? 1 : 0);
    const notation = Math.abs(shown) < IN_FULL_MAX ? 'standard' : Math.abs(shown) < COMPACT_MAX ? 'compact' : 'scientific';
    return withUnit(unit, formatsOf({ ...options, notation })[places](shown));
  };
}

const whole = numberFormat({ maximumFractionDigits: 0 });
const compact = numberFormat({ notation: 'compact', maximumFractionDigits: 2 });
const scientific = numberFormat({ notation: 'scientific', maximumFractionDigits: 2 });
/** Whole numbers in full, until they would need more room than there is. */
export const count = (value) => (Math.abs(value) < 1e10 ? whole : Math.abs(value) < COMPACT_MAX ? compact : scientific)(value);
export const percent = numberFormat({ style: 'unit', unit: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 });
export const percentFine = numberFormat({ style: 'unit', unit: 'percent', maximumFractionDigits: 2 });
export const signedPercent = numberFormat({ style: 'unit', unit: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: 'exceptZero' });
const inMilliseconds = numberFormat({ style: 'unit', unit: 'millisecond', minimumFractionDigits: 1, maximumFractionDigits: 1 });
const inSeconds = numberFormat({ style: 'unit', unit: 'second', unitDisplay: 'narrow', maximumFractionDigits: 2 });
export const milliseconds = (value) => (value >= 1e3 ? inSeconds(value / 1e3) : inMilliseconds(value));
export const bytes = valueFormat('bytes');
export const rate = valueFormat('rate');
const fourPlaces = numberFormat({ maximumSignificantDigits: 4 });
/** Numbers of which nothing is known: whole ones in full, others with four places. */
export const figureNumber = (value) => (Number.isInteger(value) || Math.abs(value) >= 1e4 ? count : Math.abs(value) < PLAIN_MIN ? scientific : fourPlaces)(value);
export const oneDigit = numberFormat({ maximumFractionDigits: 1 });
const signedSmall = numberFormat({ signDisplay: 'exceptZero', maximumSignificantDigits: 3 });
const signedFull = numberFormat({ signDisplay: 'exceptZero', maximumFractionDigits: 1 });
const signedCompact = numberFormat({ signDisplay: 'exceptZero', notation: 'compact', maximumFractionDigits: 2 });
const signedScientific = numberFormat({ signDisplay: 'exceptZero', notation: 'scientific', maximumFractionDigits: 2 });
/** A change, with its sign. */
export function signed(value) {
  const size = Math.abs(value);
  if (size >= COMPACT_MAX || (size && size < PLAIN_MIN)) return signedScientific(value);
  return (size < 10 ? signedSmall : size < 1e5 ? signedFull : signedCompact)(value);
}

const time = (options) => {
  const format = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...options });
  return (date) => format.format(date);
};
export const clock = time({ second: '2-digit' });
export const clockShort = time({});

const ago = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' });
const SECONDS_SHOWN_MAX = 120;
/** How long ago something was: `3초 전`. */
export function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds <= SECONDS_SHOWN_MAX) return ago.format(-seconds, 'second');
  return ago.format(-Math.floor(seconds / 60), 'minute');
}

/** Fills the elements of the page that name their words: `data-t` for the text, `data-t-label` for the label. */
export function translate(root) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll('[data-t]')) element.textContent = words[element.dataset.t];
  for (const element of root.querySelectorAll('[data-t-label]')) element.setAttribute('aria-label', words[element.dataset.tLabel]);
}
