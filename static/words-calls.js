// The words around the text of messages and around being called, in Korean and English.

import { pick } from './language.js';

const ko = {
  code: (name) => (name ? `코드 (${name})` : '코드'),
  copy_code: '코드 복사',
  copied: '복사했습니다',
  not_copied: '복사하지 못했습니다',
};

const en = {
  code: (name) => (name ? `Code (${name})` : 'Code'),
  copy_code: 'Copy the code',
  copied: 'Copied',
  not_copied: 'Could not be copied',
};

export const words = pick(ko, en);
