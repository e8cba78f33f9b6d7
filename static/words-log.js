// The words of a conversation's log: who came and left, earlier messages, links to messages.

import { pick } from './language.js';

const ko = {
  entered: (names) => `${names}님이 들어왔습니다`,
  left: (names) => `${names}님이 나갔습니다`,
  visited: (names) => `${names}님이 다녀갔습니다`,
  returned: (names) => `${names}님이 나갔다가 돌아왔습니다`,
  numbers: { entered: (n) => `${n}명 들어옴`, left: (n) => `${n}명 나감`, visited: (n) => `${n}명 다녀감`, returned: (n) => `${n}명 돌아옴` },

  empty_message: '(빈 메시지)',
  show_all: '모두 보기',
  show_less: '접기',

  earlier: '이전 메시지 보기',
  earlier_loading: '이전 메시지를 불러오는 중…',
  earlier_failed: '이전 메시지를 불러오지 못했습니다.',
  earlier_retry: '다시 시도',
  beginning: '여기가 대화의 처음입니다',
  not_kept: '이보다 앞선 메시지는 남아 있지 않습니다',
  too_many: '이보다 앞선 메시지는 한 번에 보여 드릴 수 없습니다',

  copy_link: '메시지 링크 복사',
  copy_room_link: '방 링크 복사',
  link_copied: '링크를 복사했습니다',
  link_gone: '링크가 가리키는 메시지는 남아 있지 않습니다.',
  link_deleted: '링크가 가리키는 메시지는 삭제되었습니다.',
  link_too_far: '링크가 가리키는 메시지는 너무 오래되어 여기까지 불러올 수 없습니다.',
  link_failed: '링크가 가리키는 메시지를 불러오지 못했습니다.',
};

/** @type {typeof ko} */
const en = {
  entered: (names) => `${names} came in`,
  left: (names) => `${names} left`,
  visited: (names) => `${names} came and left again`,
  returned: (names) => `${names} left and came back`,
  numbers: { entered: (n) => `${n} came in`, left: (n) => `${n} left`, visited: (n) => `${n} came and left again`, returned: (n) => `${n} left and came back` },

  empty_message: '(empty message)',
  show_all: 'Show all',
  show_less: 'Show less',

  earlier: 'Earlier messages',
  earlier_loading: 'Loading earlier messages…',
  earlier_failed: 'Earlier messages could not be loaded.',
  earlier_retry: 'Try again',
  beginning: 'This is the beginning of the conversation',
  not_kept: 'Messages from before this are no longer kept',
  too_many: 'Messages from before this cannot be shown along with the others',

  copy_link: 'Copy link to the message',
  copy_room_link: 'Copy link to the room',
  link_copied: 'Link copied',
  link_gone: 'The message of this link is no longer kept.',
  link_deleted: 'The message of this link was deleted.',
  link_too_far: 'The message of this link is too long ago to be loaded here.',
  link_failed: 'The message of this link could not be loaded.',
};

export const words = pick(ko, en);
