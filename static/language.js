// Which language the page speaks: the one that was chosen in the settings, or else the first of the browser's that we have.

import { settings } from './settings.js';

const primaryOf = (tag) => tag.split('-')[0].toLowerCase();
const isKnown = (tag) => tag === 'ko' || tag === 'en';

const chosen = settings.get('language');
const wanted = navigator.languages.map(primaryOf);

/** As on the server: English when there are only others, Korean when there are none. @type {'ko'|'en'} */
export const language = isKnown(chosen) ? chosen : wanted.find(isKnown) ?? (wanted.length ? 'en' : 'ko');

/** For dates and numbers: the visitor's own variant of that language, if they have one. */
export const locale = navigator.languages.find((tag) => primaryOf(tag) === language) ?? language;

/** The words of the language spoken: `pick(ko, en)`. @template T @param {T} ko @param {T} en @returns {T} */
export const pick = (ko, en) => (language === 'ko' ? ko : en);
