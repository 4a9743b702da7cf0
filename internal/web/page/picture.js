// The picture: hosts, their workloads and the cables between them, each where the program's layout
// puts it. What changes with time is written onto it by rates.js and lit.js.

import { svg } from './dom.js';

// draw makes the picture anew. It returns where to find things in it.
export function draw(root, topology, onHost) {
  root.setAttribute('viewBox', `0 0 ${topology.width} ${topology.height}`);
  const hosts = new Map();
  const cables = new Map();
  const lines = svg('g', { class: 'cables' });
  for (const c of topology.cables) {
    const g = cable(c);
    cables.set(c.id, g);
    lines.append(g);
  }
  const boxes = topology.hosts.map((h) => {
    const g = host(h, onHost);
    hosts.set(h.name, g);
    return g;
  });
  const labels = topology.cables.map((c) => {
    const g = label(c);
    cables.get(c.id).rate = g;
    return g;
  });
  const lit = svg('g', { class: 'lit' });
  root.replaceChildren(...boxes, ...(topology.gateways ?? []).map(gateway), lines, lit, svg('g', { class: 'labels' }, labels));
  return { root, topology, hosts, cables, lit };
}

const points = (path) => path.map((p) => p.join(',')).join(' ');

function cable(c) {
  const all = [c.path, ...(c.more ?? [])].filter((path) => path?.length > 1);
  return svg('g', { class: `cable ${c.kind}`, 'data-cable': c.id },
    all.map((path) => svg('polyline', { points: points(path) })));
}

// label is where a cable's rate is written: beside the middle of its longest part.
function label(c) {
  const [x, y, upright] = middle(c.path);
  const write = (dy, className) => svg('text', { x: upright ? x + 7 : x, y: y + dy, class: className, 'text-anchor': upright ? 'start' : 'middle' });
  return svg('g', { class: `rate ${c.kind}` }, write(-7, 'now'), write(15, 'bad'),
    c.kind === 'link' && write(upright ? 32 : 32, 'subnet'));
}

function middle(path) {
  let best = [0, 0, false];
  let longest = -1;
  for (let i = 1; i < path.length; i++) {
    const [[ax, ay], [bx, by]] = [path[i - 1], path[i]];
    const length = Math.abs(ax - bx) + Math.abs(ay - by);
    if (length > longest) {
      longest = length;
      best = [(ax + bx) / 2, (ay + by) / 2, ax === bx];
    }
  }
  return best;
}

const box = (b, className, rx) => svg('rect', { class: className, x: b.x, y: b.y, width: b.width, height: b.height, rx });

function host(h, onHost) {
  const r = h.router;
  const center = r.x + r.width / 2;
  const g = svg('g', {
    class: `host${h.twin ? ' twin' : ''}`, 'data-host': h.name, 'data-state': 'up', tabindex: 0, role: 'button',
    'aria-label': `host ${h.name}, ${(h.addresses ?? []).join(', ')}`,
    onclick: () => onHost(h.name),
    onkeydown: (e) => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); onHost(h.name); } },
  },
  box(h, 'box', 14),
  svg('text', { x: h.x + 18, y: h.y + 28, class: 'name' }, fitting(h.name, h.width - 36, 9.6)),
  svg('text', { x: h.x + 18, y: h.y + 48, class: 'address' }, fitting((h.addresses ?? []).join('  '), h.width - 36, 7.2)),
  svg('text', { x: h.x + 18, y: h.y + 67, class: 'hop' }, fitting(nextHops(h), h.width - 36, 7)),
  box(r, 'router', 12),
  svg('text', { x: center, y: r.y + 22, class: 'kind', 'text-anchor': 'middle' }, 'router'),
  svg('text', { x: center, y: r.y + r.height / 2 + 10, class: 'step', 'text-anchor': 'middle' }),
  svg('text', { x: center, y: r.y + r.height - 10, class: 'verdict', 'text-anchor': 'middle' }),
  svg('g', { class: 'drops' }),
  (h.workloads ?? []).map(workload));
  return g;
}

// nextHops says by whom the host's routes go, the first of them.
function nextHops(h) {
  const far = (h.routes ?? []).filter((r) => r.via && r.prefix !== '0.0.0.0/0' && r.prefix !== '::/0');
  if (far.length === 0) return '';
  const [{ prefix, via }] = far;
  return `${prefix.replace(/\/(32|128)$/, '')} via ${via}${far.length > 1 ? `  +${far.length - 1}` : ''}`;
}

function workload(w) {
  const name = w.folded ? `+ ${w.folded.length} more` : w.name;
  const x = w.x + w.width / 2;
  return svg('g', { class: `workload${w.folded ? ' folded' : ''}${w.note ? ' away' : ''}` },
    (w.folded || w.note) && svg('title', {}, w.note || w.folded.slice(0, 100).join(', ')),
    box(w, 'box', 9),
    svg('text', { x, y: w.y + (w.addresses?.length ? 18 : 27), class: 'name', 'text-anchor': 'middle' }, fitting(name, w.width - 12, 8)),
    w.addresses?.length > 0 && svg('text', { x, y: w.y + 36, class: 'address', 'text-anchor': 'middle' }, fitting(w.addresses[0], w.width - 8, 7.2)));
}

function gateway(g) {
  const x = g.x + g.width / 2;
  return svg('g', { class: 'gateway' }, box(g, 'box', 9),
    svg('text', { x, y: g.y + 18, class: 'name', 'text-anchor': 'middle' }, 'router, no vrouter'),
    svg('text', { x, y: g.y + 36, class: 'address', 'text-anchor': 'middle' }, fitting((g.addresses ?? []).join(' '), g.width - 8, 7.2)));
}

// fitting is as much of a text as fits into a width, at so much a character.
function fitting(text, width, each) {
  const most = Math.max(1, Math.floor(width / each));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
