// What the network does just now, written onto the picture: rates on the cables, drops in red with
// their reason, where packets are stopped, and who is dead or silent.

import { svg } from './dom.js';
import { rate } from './units.js';

const SHOWN_DROPS = 2; // of a host, in the picture; its card has all

export function show(picture, state) {
  for (const h of state.hosts ?? []) {
    const g = picture.hosts.get(h.name);
    if (g) host(picture, g, h);
  }
  for (const c of picture.topology.cables) {
    if (c.kind === 'link') link(picture, c, state);
  }
}

function host(picture, g, h) {
  g.setAttribute('data-state', h.state);
  const place = picture.topology.hosts.find((t) => t.name === h.name);
  const lost = (h.drops ?? []).filter((d) => d.packets_per_second > (d.noise_packets_per_second ?? 0));
  g.classList.toggle('dropping', lost.length > 0);
  const words = h.state === 'up' ? lost.map((d) => `${d.reason} ${rate(d.packets_per_second)}`) : [`its router is ${h.state}`];
  const more = words.length - SHOWN_DROPS;
  const lines = words.slice(0, SHOWN_DROPS);
  if (more > 0) lines[SHOWN_DROPS - 1] += `  +${more}`;
  const below = place.y + place.height + 17;
  const stopped = h.stop ? [`${h.stop.packets} held before ${h.stop.step}, ${Math.ceil(h.stop.left_seconds)} s; timers run on`] : [];
  g.classList.toggle('stopped', stopped.length > 0);
  g.querySelector('.drops').replaceChildren(...stopped.concat(lines).map((line, i) => {
    const text = line.length > place.width / 7.6 ? `${line.slice(0, place.width / 7.6 - 1)}…` : line;
    return svg('text', { x: place.x + 2, y: below + 17 * i, class: i < stopped.length && 'held' }, svg('title', {}, h.why || stopped.concat(words).join('\n')), text);
  }));
  for (const p of h.ports ?? []) {
    const id = `${h.name}/${p.port}`;
    const cable = picture.cables.get(id);
    if (!cable) continue;
    const both = p.rx_packets_per_second + p.tx_packets_per_second;
    const bad = (p.drop_packets_per_second ?? 0) - (p.noise_packets_per_second ?? 0) + (p.lost_packets_per_second ?? 0);
    write(cable, both, bad);
  }
}

// link is a cable between hosts: what its hosts send into it, and how bad it was made.
function link(picture, c, state) {
  const cable = picture.cables.get(c.id);
  let sent = 0;
  for (const h of state.hosts ?? []) {
    const place = picture.topology.hosts.find((t) => t.name === h.name);
    if (!c.hosts?.includes(h.name) || !place) continue;
    sent += h.ports?.find((p) => p.port === place.uplink)?.tx_packets_per_second ?? 0;
  }
  write(cable, c.hosts?.length > 2 ? sent : 0, 0); // of two, each one's cable says it
  const impaired = state.links?.find((l) => l.id === c.id && l.impairment && l.impairment !== 'none');
  cable.classList.toggle('impaired', Boolean(impaired));
  const subnet = cable.rate.querySelector('.subnet');
  subnet.textContent = impaired ? `${c.subnet}  ${impaired.impairment}` : c.subnet;
  subnet.classList.toggle('impaired', Boolean(impaired));
}

function write(cable, now, bad) {
  cable.rate.querySelector('.now').textContent = rate(now);
  cable.rate.querySelector('.bad').textContent = bad > 0.05 ? `${rate(bad)} lost` : '';
  cable.classList.toggle('busy', now > 0.05);
  cable.classList.toggle('losing', bad > 0.05);
}
