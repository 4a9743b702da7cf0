// The kernel beside the routers: what it made of the same packet, and where that differs.

import { el, pair } from './dom.js';
import { count } from './units.js';

// inShort is one line of it.
export function inShort(t) {
  if (t.error) return `The kernel beside it: ${t.error}`;
  const open = (t.differences ?? []).filter((d) => !d.reason).length;
  const all = t.differences?.length ?? 0;
  if (all === 0) return 'The kernel beside it does the same';
  return `The kernel beside it: ${count(all, 'difference')}${open ? `, ${open} of them without a known reason` : ', each with its reason'}`;
}

// twin is all of it.
export function twin(t) {
  if (t.error) return el('section', { class: 'twin' }, pair('kernel', t.error));
  const out = (list) => (list?.length ? list.map((o) => `${o.at}: ${o.summary}`).join('; ') : 'nothing came out');
  return el('section', { class: 'twin' },
    el('h4', {}, 'The kernel beside it'),
    pair('vrouter', out(t.vrouter)),
    pair('kernel', out(t.kernel)),
    t.differences?.length > 0 && el('ul', {}, t.differences.map((d) =>
      el('li', { class: d.reason ? 'known' : 'unknown' }, el('b', {}, d.field), `${d.at ? ` at ${d.at}` : ''}: vrouter ${d.vrouter}, kernel ${d.kernel}`,
        d.reason ? ` (${d.reason})` : ' (no reason is known)'))));
}
