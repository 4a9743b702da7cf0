// The filter: the trace's language. What is wrong in it is said at the word.

import { by, el, text } from './dom.js';
import { json, Refused, said } from './api.js';

const TYPING = 250; // ms without a key before the program is asked

// watchFilter calls use(filter) with one that is right, when Enter says so.
export function watchFilter(use) {
  const input = by('filter');
  let timer = 0;
  let checks = 0;
  const check = async () => {
    const mine = ++checks;
    try {
      await json(`/v1/filter?filter=${encodeURIComponent(input.value)}`);
      if (mine === checks) wrong(input, null);
      return true;
    } catch (error) {
      if (mine === checks) wrong(input, error);
      return false;
    }
  };
  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(check, TYPING);
  });
  by('filtering').addEventListener('submit', async (e) => {
    e.preventDefault();
    clearTimeout(timer);
    if (await check()) use(input.value.trim());
    else mark(input);
  });
}

// wrong shows an error below its input, with the part that is wrong marked.
export function wrong(input, error) {
  const output = by(input.getAttribute('aria-describedby'));
  input.toggleAttribute('aria-invalid', false);
  if (!error) {
    text(output, '');
    return;
  }
  input.setAttribute('aria-invalid', 'true');
  const parts = [said(error)];
  if (error instanceof Refused && error.column) {
    const from = error.column - 1;
    const word = error.word ?? '';
    parts.push(el('code', { class: 'at' }, input.value.slice(0, from), el('mark', {}, word || ' '), input.value.slice(from + word.length)));
    input.dataset.from = from;
    input.dataset.to = from + word.length;
  } else {
    delete input.dataset.from;
  }
  output.hidden = false;
  output.replaceChildren(...parts);
}

// mark selects the word that is wrong.
function mark(input) {
  if (input.dataset.from === undefined) return;
  input.focus();
  input.setSelectionRange(Number(input.dataset.from), Number(input.dataset.to));
}
