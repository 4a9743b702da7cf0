// One packet's way on the picture: the lines it took, and the packet itself where it is at this step.

import { svg } from './dom.js';
import { plug, road, stub } from './roads.js';

const calm = matchMedia('(prefers-reduced-motion: reduce)');
const MOVE = 450; // ms from one step to the next

// Lit is the way over a picture. dashed: it is what would be.
export class Lit {
  #moving = 0;

  constructor(picture) {
    this.picture = picture;
  }

  clear() {
    cancelAnimationFrame(this.#moving);
    this.picture.lit.replaceChildren();
    for (const g of this.picture.hosts.values()) g.classList.remove('on', 'at', 'fate');
    this.#writeStep(null);
  }

  // way lights all of it.
  way(way) {
    this.clear();
    const topology = this.picture.topology;
    const lines = new Map();
    const add = (points, part) => {
      if (points?.length > 1) lines.set(part + points.join(), { points, part });
    };
    for (const p of way.packets) {
      const part = p.part === 'error' ? 'caused' : p.part;
      add(stub(topology, p.host, p.in), part);
      if (p.out) add(stub(topology, p.host, p.out)?.toReversed(), part);
      if (p.from) add(road(topology, p.from, p.host), part);
      else if (p.in && this.#uplink(p.host) === p.in) add(plug(topology, p.host), part);
      const last = p.out && this.#uplink(p.host) === p.out && !way.packets.some((q) => q.from === p.host && q.part === p.part);
      if (last) add(plug(topology, p.host), part);
      if (p.part === 'packet' || p.part === 'reply') this.picture.hosts.get(p.host)?.classList.add('on');
      if (p.outcome === 'dropped' && p.part !== 'caused') this.picture.hosts.get(p.host)?.classList.add('fate');
    }
    const order = { caused: 0, packet: 1, reply: 2 }; // the reply is a thin line on the packet's
    const drawn = [...lines.values()].sort((a, b) => order[a.part] - order[b.part]);
    this.picture.lit.replaceChildren(...drawn.map(({ points, part }) =>
      svg('polyline', { class: `line ${part}${way.kind === 'whatif' ? ' would' : ''}`, points: points.join(' ') })));
  }

  #uplink(host) {
    return this.picture.topology.hosts.find((h) => h.name === host)?.uplink;
  }

  // cable is that of a host's port, from its outer end to the router; undefined where none is drawn.
  #cable(host, port) {
    const { topology } = this.picture;
    return port && port === this.#uplink(host) ? plug(topology, host)?.toReversed() : stub(topology, host, port);
  }

  // step puts the packet where it is at a step.
  step(stop) {
    const { packet, step, first, last } = stop;
    for (const [name, g] of this.picture.hosts) g.classList.toggle('at', name === packet.host);
    this.#writeStep(stop);
    const topology = this.picture.topology;
    const router = topology.hosts.find((h) => h.name === packet.host)?.router;
    if (!router) return;
    const inside = [router.x + router.width / 2, router.y + router.height / 2];
    const come = this.#cable(packet.host, packet.in);
    const go = this.#cable(packet.host, packet.out)?.toReversed();
    let way = [];
    let stays = false;
    if (first && packet.from) way = [...road(topology, packet.from, packet.host), inside];
    else if (first && come) way = [...come, inside];
    if (last && step.verdict !== 'drop' && go) {
      way = [inside, ...go];
      stays = true;
    }
    this.#move(way, step.verdict, stays);
  }

  #writeStep(stop) {
    for (const [name, g] of this.picture.hosts) {
      const here = stop?.packet.host === name ? stop : null;
      g.querySelector('.step').textContent = here?.step.step ?? '';
      g.querySelector('.verdict').textContent = here?.step.verdict ?? '';
      g.querySelector('.verdict').setAttribute('class', `verdict ${here?.step.verdict ?? ''}`);
    }
  }

  // move takes the dot along a line, at whose end it stays or, in a router, whose step stands there, is gone.
  #move(way, verdict, stays) {
    cancelAnimationFrame(this.#moving);
    this.picture.lit.querySelector('.dot')?.remove();
    if (way.length < 2 || (calm.matches && !stays)) return;
    const dot = this.picture.lit.appendChild(svg('circle', { class: `dot ${verdict}`, r: 9 }));
    const put = ([x, y]) => { dot.setAttribute('cx', x); dot.setAttribute('cy', y); };
    if (calm.matches) {
      put(way.at(-1));
      return;
    }
    const begin = performance.now();
    const frame = (now) => {
      const part = Math.min(1, Math.max(0, (now - begin) / MOVE));
      put(along(way, part));
      if (part < 1) this.#moving = requestAnimationFrame(frame);
      else if (!stays) dot.remove();
    };
    put(way[0]);
    this.#moving = requestAnimationFrame(frame);
  }
}

// along is the point at a part of a line, from 0 to 1.
function along(way, part) {
  const lengths = way.slice(1).map((p, i) => Math.hypot(p[0] - way[i][0], p[1] - way[i][1]));
  let left = part * lengths.reduce((a, b) => a + b, 0);
  for (let i = 0; i < lengths.length; i++) {
    if (left <= lengths[i] && lengths[i] > 0) {
      const f = left / lengths[i];
      return [way[i][0] + f * (way[i + 1][0] - way[i][0]), way[i][1] + f * (way[i + 1][1] - way[i][1])];
    }
    left -= lengths[i];
  }
  return way.at(-1);
}
