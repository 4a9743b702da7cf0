// One packet's way, step by step: a list of all hosts' steps, of which one is the current one.

import { by, el, text } from './dom.js';
import { micro, time } from './units.js';

const PARTS = {
  packet: '', reply: 'The reply', caused: 'Caused by it', error: 'The error it is told',
};

// Way shows a way, and lets one step through it.
export class Way {
  way = null;
  stops = []; // {packet, index, step, element, first, last, number}
  #at = -1;

  // arrived(stop) is told at which step one is.
  constructor(arrived) {
    this.arrived = arrived;
    by('way').addEventListener('click', (e) => {
      const i = this.stops.findIndex((s) => s.element === e.target.closest('[data-step]'));
      if (i >= 0) this.go(i);
    });
  }

  // show begins with a way, at its first step.
  show(way) {
    this.way = way;
    this.stops = [];
    const parts = [];
    way.packets.forEach((packet, i) => {
      if (packet.part !== way.packets[i - 1]?.part && PARTS[packet.part]) parts.push(el('li', { class: 'part' }, PARTS[packet.part]));
      if (packet.from) parts.push(wire(packet));
      parts.push(this.#record(packet));
      if (packet.unseen) parts.push(el('li', { class: 'wire bad' }, `${packet.host} › ${packet.unseen}: it left, and was not seen there`));
    });
    parts.push(...(way.notes ?? []).map((note) => el('li', { class: 'note' }, note)));
    by('way').replaceChildren(...parts);
    by('summary').textContent = way.summary;
    text(by('verdict'), way.kind === 'whatif' ? `What would be, if it were sent: ${way.verdict}` : way.verdict);
    by('journey').dataset.kind = way.kind ?? 'way';
    by('journey').hidden = false;
    by('way').scrollTop = 0;
    this.#at = -1;
    this.go(0);
  }

  hide() {
    by('journey').hidden = true;
    this.way = null;
    this.stops = [];
    this.#at = -1;
  }

  #record(packet) {
    const steps = packet.steps.map((step, i) => {
      const element = el('button', { type: 'button', class: 'step', 'data-step': step.step, 'data-verdict': step.verdict, tabindex: -1 },
        el('b', {}, step.step), el('i', {}, step.verdict),
        el('span', {}, step.reason || step.detail || step.route || ''),
        timed(this.way) && el('small', {}, micro(step.ns)));
      this.stops.push({ packet, step, element, index: i, first: i === 0, last: i === packet.steps.length - 1, number: this.stops.length });
      return el('li', {}, element);
    });
    const ports = [packet.in || 'made here', packet.out].filter(Boolean).join(' › ');
    return el('li', { class: `record ${packet.part === 'error' ? 'caused' : packet.part}` },
      el('h3', {}, el('b', {}, packet.host), el('span', {}, ports), timed(this.way) && el('small', {}, `+${time(packet.at_ns)}`)),
      packet.part !== 'packet' && el('p', { class: 'of' }, packet.summary),
      el('ol', {}, steps),
      el('p', { class: `outcome ${packet.outcome}` }, packet.outcome, packet.reason && `: ${packet.reason}`));
  }

  // go makes a step the current one.
  go(i) {
    if (this.stops.length === 0) return;
    const at = Math.min(Math.max(i, 0), this.stops.length - 1);
    if (at === this.#at) return;
    this.stops[this.#at]?.element.removeAttribute('aria-current');
    if (this.#at >= 0) this.stops[this.#at].element.tabIndex = -1;
    this.#at = at;
    const stop = this.stops[at];
    stop.element.setAttribute('aria-current', 'step');
    stop.element.tabIndex = 0;
    if (document.activeElement?.dataset?.step) stop.element.focus({ preventScroll: true });
    stop.element.scrollIntoView({ block: 'nearest' });
    by('place').textContent = `${at + 1} of ${this.stops.length}`;
    by('back').disabled = at === 0;
    by('forward').disabled = at === this.stops.length - 1;
    this.arrived(stop);
  }

  by(n) { this.go(this.#at + n); }

  // host goes to the first step at the next host, or at the one before.
  host(n) {
    const records = this.stops.filter((s) => s.first);
    const here = records.findLastIndex((s) => s.number <= this.#at);
    const to = records[Math.min(Math.max(here + n, 0), records.length - 1)];
    if (to) this.go(to.number);
  }

  // change goes to the next step that is not merely passed, or to the one before.
  change(n) {
    const to = n > 0 ? this.stops.find((s) => s.number > this.#at && s.step.verdict !== 'pass')
      : this.stops.findLast((s) => s.number < this.#at && s.step.verdict !== 'pass');
    if (to) this.go(to.number);
  }

  get current() { return this.stops[this.#at]; }
}

// timed says whether there are times: of what would be there are none.
const timed = (way) => way.kind !== 'whatif';

// wire is what lay between two hosts.
function wire(packet) {
  let delay = '';
  if (packet.wire_ns != null) {
    delay = `  ${time(packet.wire_ns)}${{
      agree: `, give or take ${time(packet.wire_error_ns ?? 0)}`,
      corrected: `, corrected, give or take ${time(packet.wire_error_ns ?? 0)}`,
      unchecked: ' by clocks that nothing checks',
    }[packet.clocks] ?? ''}`;
  }
  return el('li', { class: 'wire' }, `wire  ${packet.from} › ${packet.host}${packet.via ? ` by ${packet.via}` : ''}${delay}`);
}
