// Dialogs that are made when they are asked for: a question with its fields, which is answered or refused in place.

import { byId, el } from './view.js';
import { words } from './words-people.js';

/** What is wrong with an answer, in words; the field that it is about gets the focus. */
export class Problem extends Error {
  /** @param {string} text  @param {HTMLElement} [field] */
  constructor(text, field) {
    super(text);
    this.field = field;
  }
}

let made = 0;

/** An id for an element that others refer to. */
export const newElementId = () => `made-${made += 1}`;

/** Shows a dialog, and removes it when it is closed. The focus returns to where it was. @returns {HTMLDialogElement} */
export function showDialog(title, ...content) {
  const id = newElementId();
  const from = document.activeElement;
  const dialog = el('dialog', { class: 'sheet', 'aria-labelledby': id }, el('h2', { id }, ...title), ...content);
  dialog.addEventListener('close', () => {
    dialog.remove();
    // What opened it may be gone, as a message that was deleted: then the title of the page is where to read on from.
    (from?.isConnected ? from : byId('place'))?.focus({ preventScroll: true });
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** @param {string} label  @param {HTMLElement} input  @param {string} [hint]  @returns {HTMLElement} */
export function field(label, input, hint) {
  input.id ||= newElementId();
  const note = hint && el('p', { class: 'hint', id: `${input.id}-hint` }, hint);
  if (note) input.setAttribute('aria-describedby', note.id);
  return el('div', { class: 'field' }, el('label', { for: input.id }, label), input, note);
}

/** One of several. @param {string} legend  @param {[string, string][]} choices  value and label  @param {(value: string) => void} [onchange] */
export function choice(legend, name, choices, chosen, onchange) {
  const group = newElementId();
  return el('fieldset', { class: 'choice' }, el('legend', {}, legend), ...choices.map(([value, label]) => el('label', { class: 'option' },
    el('input', { type: 'radio', name: group, value, 'data-choice': name, checked: value === chosen, onchange: () => onchange?.(value) }), el('span', {}, label))));
}

/** Which one of a `choice` is chosen. @param {HTMLElement} fieldset */
export const chosenOf = (fieldset) => fieldset.querySelector('input:checked')?.value;

/** @param {string} label  @param {(isOn: boolean) => void} onchange */
export const toggle = (label, name, isOn, onchange) => el('label', { class: 'option' },
  el('input', { type: 'checkbox', 'data-choice': name, checked: isOn, onchange: ({ target }) => onchange(target.checked) }), el('span', {}, label));

/**
 * Asks for something to be done.
 * @param {object} question
 * @param {(Node|string)[]} question.title
 * @param {(Node|string|null)[]} question.content
 * @param {string} question.action      what the button says that does it
 * @param {boolean} [question.danger]
 * @param {() => Promise<() => void>} question.run  does it; what it throws is told in the dialog (`message`), which stays open.
 *   What it resolves to is called when the dialog is closed: before, nothing on the page can be read out
 */
export function ask({ title, content, action, danger = false, run }) {
  const problem = el('p', { class: 'problem', role: 'alert' });
  const submit = el('button', { type: 'submit', class: `primary${danger ? ' danger' : ''}` }, action);
  const form = el('form', { novalidate: true, onsubmit: answer }, ...content, problem,
    el('div', { class: 'actions' }, el('button', { type: 'button', class: 'quiet', onclick: () => dialog.close() }, words.cancel), submit));
  const dialog = showDialog(title, form);
  let isBusy = false;

  async function answer(event) {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    problem.textContent = '';
    for (const input of form.querySelectorAll('[aria-invalid]')) input.removeAttribute('aria-invalid');
    submit.setAttribute('aria-disabled', 'true');
    submit.textContent = words.working;
    try {
      const tell = await run();
      dialog.close();
      tell();
    } catch (error) {
      problem.textContent = error.message;
      error.field?.setAttribute('aria-invalid', 'true');
      error.field?.focus();
    } finally {
      isBusy = false;
      submit.removeAttribute('aria-disabled');
      submit.textContent = action;
    }
  }
  return dialog;
}
