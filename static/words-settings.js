// The words of the settings that both pages have, in Korean and English.

import { pick } from './language.js';

const ko = {
  theme: '화면 밝기',
  themes: { system: '시스템대로', light: '밝게', dark: '어둡게' },
  language: '언어 (Language)',
  languages: { system: '브라우저대로', ko: '한국어', en: 'English' },
};

const en = {
  theme: 'Theme',
  themes: { system: 'System', light: 'Light', dark: 'Dark' },
  language: 'Language (언어)',
  languages: { system: 'Browser', ko: '한국어', en: 'English' },
};

export const words = pick(ko, en);
