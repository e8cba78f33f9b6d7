// The words around the text of messages and around being called, in Korean and English.

import { pick } from './language.js';

const ko = {
  code: (name) => (name ? `코드 (${name})` : '코드'),
  copy_code: '코드 복사',
  copied: '복사했습니다',
  not_copied: '복사하지 못했습니다',

  mentions: (n) => `나를 부른 메시지 ${n}개`,
  names: '부를 사람',
  names_offered: (n) => `부를 사람 ${n}명. 위아래 화살표로 고르고 Enter로 넣습니다.`,
};

const en = {
  code: (name) => (name ? `Code (${name})` : 'Code'),
  copy_code: 'Copy the code',
  copied: 'Copied',
  not_copied: 'Could not be copied',

  mentions: (n) => (n === 1 ? '1 message mentions you' : `${n} messages mention you`),
  names: 'People to mention',
  names_offered: (n) => `${n} ${n === '1' ? 'person' : 'people'} to mention. Choose with the arrow keys and Enter.`,
};

export const words = pick(ko, en);
