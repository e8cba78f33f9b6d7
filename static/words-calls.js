// The words around the text of messages and around being called, in Korean and English.

import { pick } from './language.js';

const ko = {
  code: (name) => (name ? `코드 (${name})` : '코드'),
  copy_code: '코드 복사',
  copied: '복사했습니다',
  not_copied: '복사하지 못했습니다',

  mentions: (n) => `나를 부른 메시지 ${n}개`,
  some_unread: '읽지 않은 메시지 있음',
  names: '부를 사람',
  names_offered: (n) => `부를 사람 ${n}명. 위아래 화살표로 고르고 Enter로 넣습니다.`,

  called_by: (name, room) => `${name} · ${room}`,
  called_in: (name, room) => `${room}에서 ${name}님이 나를 불렀습니다.`,
  whisper_from: (name) => `${name}님의 귓속말`,
  whisper_hidden: '열어서 읽어 주세요.',
  ask_notifications: '보지 않는 동안 누가 불렀습니다. 다음부터 알려 드릴까요?',
  notify_me: '알림 받기',
  no_thanks: '받지 않기',
  notifications_refused: '브라우저가 이 페이지의 알림을 막고 있습니다. 주소창 옆의 사이트 설정에서 허용할 수 있습니다.',
  notifications_missing: '이 브라우저는 이 페이지의 알림을 보여 주지 못합니다.',
  mute: '이 방 조용히 하기',
  unmute: '조용히 하기 끝내기',
  muted: '조용히 하는 중',
  muted_done: '이 방에서는 소리와 알림이 나지 않고, 새 글의 수를 세어 보이지 않습니다. 나를 부른 글은 셉니다.',
  unmuted_done: '이 방의 새 글을 다시 알립니다.',
};

const en = {
  code: (name) => (name ? `Code (${name})` : 'Code'),
  copy_code: 'Copy the code',
  copied: 'Copied',
  not_copied: 'Could not be copied',

  mentions: (n) => (n === 1 ? '1 message mentions you' : `${n} messages mention you`),
  some_unread: 'unread messages',
  names: 'People to mention',
  names_offered: (n) => `${n} ${n === '1' ? 'person' : 'people'} to mention. Choose with the arrow keys and Enter.`,

  called_by: (name, room) => `${name} · ${room}`,
  called_in: (name, room) => `${name} mentions you in ${room}.`,
  whisper_from: (name) => `${name} whispers`,
  whisper_hidden: 'Open it to read it.',
  ask_notifications: 'Someone called you while you were looking elsewhere. Shall we notify you next time?',
  notify_me: 'Notify me',
  no_thanks: 'No, thanks',
  notifications_refused: 'The browser blocks notifications of this page. You can allow them in its settings for this site, beside the address.',
  notifications_missing: 'This browser cannot show notifications of this page.',
  mute: 'Mute this room',
  unmute: 'Unmute this room',
  muted: 'Muted',
  muted_done: 'This room makes no sound, no notifications and no numbers. What mentions you is still counted.',
  unmuted_done: 'This room tells of its messages again.',
};

export const words = pick(ko, en);
