// The keyboard alone suffices.

import { by, el } from './dom.js';

const KEYS = [
  ['→  ←', 'the next step, the one before'],
  ['Home  End', 'the first step, the last'],
  ['n  b', 'the next step that changes or ends it, the one before'],
  ['PgDn  PgUp', 'the next host, the one before'],
  ['↓  ↑', 'in the list: the packet below, above'],
  ['Enter', 'in the list: take this packet’s way'],
  ['l', 'to the list of packets'],
  ['f', 'to the filter'],
  ['w', 'to “What if”'],
  ['d', 'to what can be done, where that is allowed'],
  ['p', 'hold the list, let it go on'],
  ['z', 'look near, at the host of the step; or at all of them'],
  ['k', 'send it again, into the kernel beside the router too, and compare'],
  ['x', 'bytes as fields, or as a dump'],
  ['s  o', 'save this way as a file; open one'],
  ['e', 'save the picture as SVG'],
  ['t', 'light, dark, or as the system has it'],
  ['Esc', 'close the way'],
  ['?', 'these keys'],
];

// watchKeys calls actions[key]() for a key that is pressed, but where one types.
export function watchKeys(actions) {
  const dialog = by('keys');
  dialog.append(el('h2', {}, 'Keys'),
    el('dl', {}, KEYS.flatMap(([keys, what]) => [el('dt', {}, keys.split('  ').map((k) => el('kbd', {}, k))), el('dd', {}, what)])),
    el('form', { method: 'dialog' }, el('button', {}, 'Close')));
  const help = () => dialog.showModal();
  by('help').addEventListener('click', help);
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.altKey || e.metaKey || dialog.open) return;
    const typing = e.target.closest('input, select, textarea');
    if (typing && e.key !== 'Escape') return;
    if (typing) {
      typing.blur();
      return;
    }
    const action = e.key === '?' ? help : actions[e.key];
    if (!action) return;
    e.preventDefault();
    action();
  });
}
