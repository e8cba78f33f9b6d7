// The page's words in Korean and English, and dates and times in the visitor's language.

import { language, locale, pick } from './language.js';

export { language, locale };

const ko = {
  title: '사랑방',
  dashboard: '현황판',
  skip: '메시지 쓰기로 건너뛰기',
  lead: '문은 열려 있습니다. 이름을 알려 주시고 들어오세요.',
  lead_sign_in: '계정이 있는 분을 모십니다. 로그인하고 들어오세요.',
  lead_both: '로그인하거나, 손님으로 들어오세요.',
  name: '이름',
  name_hint: '방 안에서 이렇게 불립니다. 32자까지 쓸 수 있습니다.',
  enter: '들어가기',
  entering: '들어가는 중…',
  entering_room: (room) => `들어가면 ‘${room}’ 방으로 안내합니다.`,
  name_missing: '이름을 적어 주세요.',
  name_too_long: '이름은 32자까지입니다.',
  unreachable: '서버에 닿지 않습니다. 계속 다시 시도하고 있습니다.',
  opening: '문을 여는 중…',
  account: '계정 이름',
  password: '비밀번호',
  show_password: '비밀번호 보기',
  demo_hint: (name, password) => `체험용 계정: ${name} / ${password}`,
  sign_in: '로그인',
  signing_in: '로그인하는 중…',
  sign_in_in: (n) => `로그인 (${n}초 뒤)`,
  account_missing: '계정 이름을 적어 주세요.',
  password_missing: '비밀번호를 적어 주세요.',
  wait_then_try: (n) => `${n}초 뒤에 다시 해 주세요.`,
  to_guest_text: '계정이 없다면',
  to_guest: '손님으로 들어가기',
  to_sign_in_text: '계정이 있다면',
  to_sign_in: '로그인하기',
  renewal_refused: (time) => `로그인한 지 오래되어 서버가 더 이어 주지 않습니다. ${time}에 끝나면 다시 로그인해 주세요. 쓰던 글은 그대로 둡니다.`,
  ended: {
    expired: '로그인 시간이 다 되어 세션이 끝났습니다. 다시 로그인하면 하던 곳에서 이어집니다.',
    refused: '서버가 이 로그인을 더 받아들이지 않아 세션이 끝났습니다. 다른 곳에서 나갔거나, 서버가 다시 시작되었거나, 계정이 바뀌었을 수 있습니다.',
    left: '다른 탭에서 나갔습니다. 이 브라우저의 모든 탭에서 나갑니다.',
  },

  rooms: '방',
  joined_rooms: '들어온 방',
  other_rooms: '다른 방',
  whispers: '귓속말',
  open_rooms: '방 목록 열기',
  open_people: '사람 목록 열기',
  close: '닫기',
  find_room: '방 찾기',
  no_other_rooms: '지금은 다른 방이 없습니다. 새 방을 만들면 다른 분들에게도 바로 보입니다.',
  no_such_room: '그런 이름의 방이 없습니다.',
  more_rooms: (n) => `외 ${n}개 — 이름으로 찾아보세요.`,
  seats: (users, max) => (max ? `${users} / ${max}명` : `${users}명`),
  full: '가득 참',
  unread: (n) => `읽지 않은 메시지 ${n}개`,
  create_room: '새 방 만들기',
  room_name: '방 이름',
  room_limit: '정원',
  room_limit_hint: '함께 있을 수 있는 사람 수 (1–1,000,000)',
  create: '만들기',
  cancel: '취소',
  join_existing: '그 방에 들어가기',
  sign_out: '나가기',
  signed_in_as: '내 이름',

  people: '함께 있는 사람',
  guest: '손님',
  me: '나',
  whisper_to: (name) => `${name}님에게 귓속말`,
  alone: '지금은 혼자 있습니다. 누가 오면 여기에 보입니다.',
  others_more: (n) => `외 ${n}명`,
  leave_room: '방 나가기',
  close_whisper: '귓속말 닫기',
  whisper_private: '둘만 보는 귓속말',
  whisper_note: (name) => `여기서 나눈 말은 나와 ${name}님만 봅니다. 기록에 남지 않아 이 페이지를 닫으면 사라집니다.`,

  log: (name) => `${name} 대화`,
  write: '메시지',
  write_in: (room) => `${room}에 쓰기`,
  send: '보내기',
  characters_left: (n) => `${n}자 남음`,
  characters_over: (n) => `${n}자 넘음`,
  new_messages: (n) => `새 메시지 ${n}개`,
  to_latest: '맨 아래로',
  unread_from_here: '여기부터 새 메시지',
  gap: '연결이 끊긴 동안의 메시지 일부는 남아 있지 않습니다',
  deleted: '삭제된 메시지',
  own_name: '나',
  sending: '보내는 중…',
  waiting: '연결되면 보냅니다',
  failed: '보내지 못했습니다',
  retry: '다시 보내기',
  discard: '지우기',

  lobby_title: '어서 오세요',
  lobby: '들어가 이야기 나눌 방을 골라 주세요. 마음에 드는 방이 없으면 새로 열어도 좋습니다.',
  look_around: '방 둘러보기',
  empty_room_title: '아직 조용합니다',
  empty_room: '먼저 인사를 건네 보세요.',
  empty_whisper_title: '귓속말',
  joining: '방에 들어가는 중…',
  out_title: '지금은 이 방에 들어와 있지 않습니다',
  impossible_title: '이런 이름의 방은 있을 수 없습니다',
  back_to_room: '다시 들어가기',

  connecting: '연결하는 중',
  connected: '연결됨',
  reconnecting: '다시 연결하는 중',
  closed: '연결 끝남',
  lost: '연결이 끊겼습니다. 쓴 글은 다시 연결되면 보냅니다.',
  retry_in: (n) => `${n}초 뒤 다시 연결합니다.`,
  retrying: '지금 연결하고 있습니다.',
  try_now: '지금 연결',
  enter_again: '다시 들어가기',
  try_again: '다시 시도',

  put_out: {
    house: { kicked: '관리자가 내보냈습니다.', banned: '관리자가 들어오지 못하게 막았습니다.' },
    room: { kicked: '관리자가 이 방에서 내보냈습니다.', banned: '관리자가 이 방에 들어오지 못하게 막았습니다.', room_removed: '관리자가 이 방을 없앴습니다.' },
    reason: (text) => `이유: ${text}`,
    until: (time) => `${time}까지입니다.`,
    for_good: '기한은 없습니다.',
  },

  errors: {
    1013: '같은 이름으로 열린 연결이 너무 많습니다. 자리가 나면 들어갑니다.',
    4001: '그 이름으로는 들어올 수 없습니다. 주인이 있는 이름이거나 쓸 수 없는 글자가 있습니다.',
    4005: '다른 분이 쓰고 있는 이름입니다. 다른 이름을 적어 주세요.',
    4003: '이 주소의 페이지에서는 들어올 수 없게 되어 있습니다.',
    room_full: '방이 가득 찼습니다. 자리가 나면 다시 들어와 주세요.',
    room_not_found: '그런 방이 없습니다.',
    room_exists: '같은 이름의 방이 이미 있습니다.',
    bad_room_name: '방 이름은 1–64자이고, 보이지 않는 글자나 앞뒤 공백은 쓸 수 없습니다.',
    bad_limit: '정원은 1에서 1,000,000 사이의 수로 적어 주세요.',
    too_many_rooms: '더는 방에 들어갈 수 없습니다. 다른 방에서 나온 뒤 다시 해 보세요.',
    not_in_room: '이 방에 들어와 있지 않습니다.',
    user_not_found: '지금 자리에 없는 사람입니다.',
    content_too_long: '글이 너무 깁니다. 나누어 보내 주세요.',
    rate_limited: '너무 빠릅니다. 잠시 뒤에 다시 해 주세요.',
    too_many_requests: '너무 빠릅니다. 잠시 뒤에 다시 해 주세요.',
    unauthorized: '로그인한 사람만 할 수 있습니다.',
    invalid_token: '로그인이 끝났습니다. 다시 로그인한 뒤에 해 주세요.',
    invalid_credentials: '계정 이름이나 비밀번호가 맞지 않습니다.',
    sign_in_throttled: '로그인이 여러 번 어긋나 잠시 막혔습니다.',
    unavailable: '서버가 바쁩니다. 잠시 뒤에 다시 해 주세요.',
    storage_unavailable: '지금은 저장할 수 없습니다. 잠시 뒤에 다시 보내 주세요.',
    backend_unavailable: '지금은 서버 뒤편이 응답하지 않습니다. 잠시 뒤에 다시 해 주세요.',
    id_reused: '같은 글 번호로 다른 글을 이미 보냈습니다. 다시 써서 보내 주세요.',
    forbidden: '허락되지 않았습니다. 이 방에 들어오거나 쓸 수 있는 사람이 정해져 있습니다.',
    ticket: '서버가 입장권을 받아들이지 않았습니다. 다시 들어와 주세요.',
    forbidden_origin: '이 주소의 페이지에서는 할 수 없습니다.',
    queue_full: '보내지 못한 글이 너무 많이 쌓였습니다.',
    unconfirmed: '이미 갔는지 알 수 없습니다. 아직 보이지 않으면 다시 보내 주세요.',
    closed: '연결이 끝나 보내지 못했습니다.',
    network: '서버에 닿지 않습니다. 잠시 뒤에 다시 해 주세요.',
    other: '서버가 받아들이지 않았습니다.',
  },
};

const en = {
  title: 'Sarangbang',
  dashboard: 'Dashboard',
  skip: 'Skip to writing a message',
  lead: 'The door is open. Tell us your name and come in.',
  lead_sign_in: 'This house is for people with an account. Sign in and come in.',
  lead_both: 'Sign in, or come in as a guest.',
  name: 'Name',
  name_hint: 'This is what others will call you. Up to 32 characters.',
  enter: 'Come in',
  entering: 'Coming in…',
  entering_room: (room) => `You will be shown to the room “${room}”.`,
  name_missing: 'Please enter your name.',
  name_too_long: 'A name has at most 32 characters.',
  unreachable: 'The server cannot be reached. Still trying.',
  opening: 'Opening the door…',
  account: 'Account name',
  password: 'Password',
  show_password: 'Show the password',
  demo_hint: (name, password) => `Account to try it with: ${name} / ${password}`,
  sign_in: 'Sign in',
  signing_in: 'Signing in…',
  sign_in_in: (n) => `Sign in (in ${n} s)`,
  account_missing: 'Please enter your account name.',
  password_missing: 'Please enter your password.',
  wait_then_try: (n) => `Please try again in ${n} s.`,
  to_guest_text: 'Without an account',
  to_guest: 'Come in as a guest',
  to_sign_in_text: 'With an account',
  to_sign_in: 'Sign in',
  renewal_refused: (time) => `The server does not extend this session any further, as it is long since you signed in. It ends at ${time}; please sign in again then. What you are writing is kept.`,
  ended: {
    expired: 'Your session ended because its time was up. Sign in again to go on where you were.',
    refused: 'Your session ended because the server no longer accepts this sign-in: you may have left elsewhere, the server may have restarted, or the account may have changed.',
    left: 'You left in another tab, and with it in all tabs of this browser.',
  },

  rooms: 'Rooms',
  joined_rooms: 'Your rooms',
  other_rooms: 'Other rooms',
  whispers: 'Whispers',
  open_rooms: 'Open the list of rooms',
  open_people: 'Open the list of people',
  close: 'Close',
  find_room: 'Find a room',
  no_other_rooms: 'There are no other rooms at the moment. Open one, and others see it at once.',
  no_such_room: 'No room has that name.',
  more_rooms: (n) => `${n} more: find them by name.`,
  seats: (users, max) => (max ? `${users} of ${max}` : `${users} here`),
  full: 'full',
  unread: (n) => (n === 1 ? '1 unread message' : `${n} unread messages`),
  create_room: 'New room',
  room_name: 'Name of the room',
  room_limit: 'Seats',
  room_limit_hint: 'How many people may be in at once (1–1,000,000)',
  create: 'Create',
  cancel: 'Cancel',
  join_existing: 'Go to that room',
  sign_out: 'Sign out',
  signed_in_as: 'Your name',

  people: 'People here',
  guest: 'guest',
  me: 'you',
  whisper_to: (name) => `Whisper to ${name}`,
  alone: 'Nobody else is here at the moment. Whoever comes in shows up here.',
  others_more: (n) => `and ${n} more`,
  leave_room: 'Leave the room',
  close_whisper: 'Close the whisper',
  whisper_private: 'Private, between the two of you',
  whisper_note: (name) => `Only you and ${name} see this. It is not kept: closing this page lets it go.`,

  log: (name) => `Conversation in ${name}`,
  write: 'Message',
  write_in: (room) => `Write to ${room}`,
  send: 'Send',
  characters_left: (n) => `${n} left`,
  characters_over: (n) => `${n} too many`,
  new_messages: (n) => (n === 1 ? '1 new message' : `${n} new messages`),
  to_latest: 'To the latest',
  unread_from_here: 'New from here',
  gap: 'Some messages from while you were disconnected are gone',
  deleted: 'Message deleted',
  own_name: 'You',
  sending: 'Sending…',
  waiting: 'Will be sent when connected',
  failed: 'Not sent',
  retry: 'Send again',
  discard: 'Remove',

  lobby_title: 'Welcome',
  lobby: 'Choose a room to join the talk. If none suits you, open one of your own.',
  look_around: 'Look around',
  empty_room_title: 'It is quiet here',
  empty_room: 'Be the first to say hello.',
  empty_whisper_title: 'A whisper',
  joining: 'Entering the room…',
  out_title: 'You are not in this room',
  impossible_title: 'No room can have this name',
  back_to_room: 'Try again',

  connecting: 'Connecting',
  connected: 'Connected',
  reconnecting: 'Reconnecting',
  closed: 'Disconnected',
  lost: 'The connection is lost. What you write is sent once it is back.',
  retry_in: (n) => `Trying again in ${n} s.`,
  retrying: 'Trying now.',
  try_now: 'Try now',
  enter_again: 'Come in again',
  try_again: 'Try again',

  put_out: {
    house: { kicked: 'A moderator put you out.', banned: 'A moderator has banned you.' },
    room: { kicked: 'A moderator put you out of this room.', banned: 'A moderator has banned you from this room.', room_removed: 'A moderator removed this room.' },
    reason: (text) => `The reason: ${text}`,
    until: (time) => `Until ${time}.`,
    for_good: 'No end is set.',
  },

  errors: {
    1013: 'Too many connections are open under this name. You will be let in once one has ended.',
    4001: 'You cannot come in under that name: it belongs to an account, or has characters that cannot be used.',
    4005: 'Someone else is using that name. Please choose another.',
    4003: 'Pages at this address are not allowed to connect.',
    room_full: 'The room is full. Please try again when someone has left.',
    room_not_found: 'There is no such room.',
    room_exists: 'A room of that name is open already.',
    bad_room_name: 'A room’s name has 1–64 characters, none of them invisible, and no spaces at its ends.',
    bad_limit: 'Seats must be a number from 1 to 1,000,000.',
    too_many_rooms: 'You cannot enter more rooms. Leave one and try again.',
    not_in_room: 'You are not in this room.',
    user_not_found: 'That person is not here at the moment.',
    content_too_long: 'The message is too long. Please send it in parts.',
    rate_limited: 'That was too fast. Please try again in a moment.',
    too_many_requests: 'That was too fast. Please try again in a moment.',
    unauthorized: 'Only people who are signed in can do that.',
    invalid_token: 'Your session has ended. Please sign in again first.',
    invalid_credentials: 'The account name or the password is wrong.',
    sign_in_throttled: 'Signing in failed several times and is held back for a moment.',
    unavailable: 'The server is busy. Please try again in a moment.',
    storage_unavailable: 'Messages cannot be kept right now. Please send it again in a moment.',
    backend_unavailable: 'The servers behind this one do not answer right now. Please try again in a moment.',
    id_reused: 'Another message was sent under the same number. Please write it anew.',
    forbidden: 'This is not permitted: only some people may enter this room or write in it.',
    ticket: 'The server did not accept our ticket. Please come in again.',
    forbidden_origin: 'Pages at this address are not allowed to do that.',
    queue_full: 'Too many messages are waiting to be sent.',
    unconfirmed: 'It may have arrived already. If you do not see it, send it again.',
    closed: 'The connection ended before it was sent.',
    network: 'The server cannot be reached. Please try again in a moment.',
    other: 'The server did not accept that.',
  },
};

export const words = pick(ko, en);

/** What an error `code` means, in the visitor's language. */
export const explain = (code) => words.errors[code] ?? words.errors.other;

const clock = new Intl.DateTimeFormat(locale, { hour: 'numeric', minute: '2-digit' });
const calendar = new Intl.DateTimeFormat(locale, { dateStyle: 'full' });
const moment = new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short' });
const number = new Intl.NumberFormat(locale);
export const timeOf = (date) => clock.format(date);
export const momentOf = (date) => moment.format(date);
export const dayOf = (date) => calendar.format(date);
export const count = (n) => number.format(n);

/**
 * Why a moderator's hand put us out, and until when.
 * @param {'house'|'room'} where  @param {{reason?: string, until?: ?string}} why  `until`: of a ban, null if it has no end
 */
export function explainPutOut(where, { reason, until }) {
  const { [where]: known, reason: because, until: ends, for_good: endless } = words.put_out;
  const isBan = until !== undefined;
  const own = !reason || Object.hasOwn(known, reason) ? [] : [because(`\u2068${reason}\u2069`)]; // of any direction
  const end = isBan ? [until ? ends(moment.format(new Date(until))) : endless] : [];
  return [known[isBan ? 'banned' : Object.hasOwn(known, reason ?? '') ? reason : 'kicked'], ...end, ...own].join(' ');
}

/**
 * Fills the elements of the page that name their words: `data-t` for the text, `data-t-label` for the label.
 * @param {object} [from]  words of another file  @param {string} [by]  and the letter of their attributes
 */
export function translate(root, from = words, by = 't') {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll(`[data-${by}]`)) element.textContent = from[element.dataset[by]];
  for (const element of root.querySelectorAll(`[data-${by}-label]`)) {
    const label = from[element.dataset[`${by}Label`]];
    element.setAttribute('aria-label', label);
    if (element.tagName === 'BUTTON') element.title = label;
    if (element.tagName === 'INPUT') element.placeholder = label;
  }
}
