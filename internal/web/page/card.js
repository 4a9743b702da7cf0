// A host's card: what is known of it that finds no room in the picture.

import { by, el } from './dom.js';
import { bits, count, rate } from './units.js';

const ROUTES = 12; // shown

let shown = '';

// toggle opens a host's card, or closes it.
export function toggle(name, topology, state) {
  shown = shown === name ? '' : name;
  update(topology, state);
}

// update writes the card anew.
export function update(topology, state) {
  const card = by('host');
  const h = topology?.hosts.find((host) => host.name === shown);
  card.hidden = !h;
  if (!h) return;
  const now = state?.hosts?.find((host) => host.name === shown);
  card.replaceChildren(
    el('h3', {}, h.name, el('button', { type: 'button', 'aria-label': 'Close', onclick: () => toggle(shown, topology, state) }, '×')),
    el('p', {}, now?.state === 'up' || !now ? (h.addresses ?? []).join(', ') : `${now.state}: ${now.why}`),
    ...(now?.stop ? [el('p', { class: 'held' }, `${count(now.stop.packets, 'packet')} held before ${now.stop.step}, for ${Math.ceil(now.stop.left_seconds)} s more. Timers run on${now.stop.passed ? `; ${now.stop.passed} went on, as no more are held` : ''}.`)] : []),
    ...table('Next hops', (h.routes ?? []).slice(0, ROUTES).map((r) => [r.prefix, r.via || `dev ${r.dev}`, r.encap && r.encap !== 'none' ? r.encap : ''])),
    ...table('Ports', (now?.ports ?? []).map((p) => [p.port, `in ${rate(p.rx_packets_per_second) || 0}  ${bits(p.rx_bits_per_second)}`, `out ${rate(p.tx_packets_per_second) || 0}  ${bits(p.tx_bits_per_second)}`])),
    ...(now?.drops ?? []).map((d) => el('div', { class: 'drop' },
      el('b', {}, `${d.reason}  ${count(d.packets, 'packet')}, ${rate(d.packets_per_second) || '0/s'}`),
      d.help && el('p', {}, d.help), d.mend && el('p', {}, `Mend: ${d.mend}`), d.rfc && el('p', {}, d.rfc))));
}

const table = (name, rows) => (rows.length === 0 ? [] : [
  el('h4', {}, name),
  el('table', {}, el('tbody', {}, rows.map((row) => el('tr', {}, row.map((cell) => el('td', {}, cell)))))),
]);
