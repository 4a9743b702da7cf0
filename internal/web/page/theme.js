// Light, dark, or as the system has it.

import { by } from './dom.js';

const KEY = 'vrouter theme';
const WORDS = { auto: 'Auto', light: 'Light', dark: 'Dark' };

let chosen = localStorage.getItem(KEY) ?? 'auto';

function apply() {
  if (!(chosen in WORDS)) chosen = 'auto';
  if (chosen === 'auto') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.dataset.theme = chosen;
  by('theme').textContent = WORDS[chosen];
}

export function nextTheme() {
  const names = Object.keys(WORDS);
  chosen = names[(names.indexOf(chosen) + 1) % names.length];
  localStorage.setItem(KEY, chosen);
  apply();
}

apply();
by('theme').addEventListener('click', nextTheme);
