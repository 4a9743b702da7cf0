// What can be done, where that is allowed: traffic, and harm that one click undoes.

import { by, el, text } from './dom.js';
import { json, said } from './api.js';

const HARMS = ['loss 20%', 'delay 50ms', 'loss 5% delay 20ms', 'duplicate 10%', 'corrupt 5%'];

// Deeds is the panel of what can be done, and the list of what was.
export class Deeds {
  #list = new Map();
  #output = el('div', { class: 'list', 'aria-live': 'polite' });
  #error = el('p', { class: 'error', role: 'alert', hidden: true });

  // begin makes the panel for a network.
  async begin(topology) {
    by('do').hidden = !topology.write;
    if (!topology.write) return;
    const { faults, steps, deeds } = await json('/v1/deeds').catch(() => ({}));
    this.#build(topology, faults ?? [], steps ?? []);
    (deeds ?? []).forEach((d) => this.tell(d));
  }

  #build(topology, faults, steps) {
    const ends = topology.hosts.flatMap((h) => (h.workloads ?? []).flatMap((w) => w.folded ?? [w.name]).map((w) => `${h.name}/${w}`));
    const links = topology.cables.filter((c) => c.kind === 'link' && c.changeable).map((c) => c.id);
    const routes = topology.hosts.flatMap((h) => (h.routes ?? []).filter((r) => r.via).map((r) => [`${h.name} ${r.prefix}`, `${h.name}: ${r.prefix} via ${r.via}`]));
    const from = choice('from', ends);
    const to = choice('to', ends, ends.at(-1));
    const between = () => ({ from: from.value, to: to.value });
    const act = (word, deed) => el('button', { type: 'button', onclick: () => this.#do(deed()) }, word);
    const link = choice('cable', links);
    const harm = el('input', { type: 'text', 'aria-label': 'How bad', value: valueOf('How bad') ?? 'loss 20% delay 50ms', spellcheck: 'false', list: 'harms' });
    const route = choice('route', routes);
    const host = choice('host', topology.hosts.map((h) => h.name));
    const step = choice('before', steps, 'ttl');
    const which = el('input', { type: 'text', 'aria-label': 'Which packets', value: valueOf('Which packets') ?? 'icmp', spellcheck: 'false' });
    const seconds = el('input', { type: 'number', 'aria-label': 'Seconds', value: valueOf('Seconds') ?? 20, min: 1, max: 60 });
    const fault = choice('fault', faults.map((f) => [f.name, `${f.name}: ${f.shows}`]));
    by('deeds').replaceChildren(...[
      ends.length > 1 && group('Traffic', el('label', {}, 'from', from), el('label', {}, 'to', to),
        act('Ping', () => ({ do: 'ping', ...between(), count: 3 })),
        act('TCP', () => ({ do: 'tcp', ...between(), seconds: 5 })),
        act('Traceroute', () => ({ do: 'traceroute', ...between() }))),
      links.length > 0 && group('A worse cable', link, harm, el('datalist', { id: 'harms' }, HARMS.map((value) => el('option', { value }))),
        act('Make it so', () => ({ do: 'link', link: link.value, impairment: harm.value }))),
      routes.length > 0 && group('A route less', route,
        act('Take it away', () => ({ do: 'route', host: route.value.split(' ')[0], prefix: route.value.split(' ')[1] }))),
      faults.length > 0 && group('A fault', fault, act('Plant it', () => ({ do: 'fault', fault: fault.value }))),
      steps.length > 0 && group('Stop here', el('label', {}, 'at', host), el('label', {}, 'before', step), el('label', {}, 'filter', which), el('label', {}, 'seconds', seconds),
        act('Stop it there', () => ({ do: 'hold', host: host.value, step: step.value, filter: which.value, seconds: Number(seconds.value) }))),
      this.#error, this.#output].filter(Boolean));
  }

  async #do(deed) {
    text(this.#error, '');
    try {
      this.tell(await json('/v1/deeds', { method: 'POST', body: deed }));
    } catch (error) {
      text(this.#error, said(error));
    }
  }

  async #undo(id) {
    text(this.#error, '');
    try {
      this.tell(await json(`/v1/deeds/${id}`, { method: 'DELETE' }));
    } catch (error) {
      text(this.#error, said(error));
    }
  }

  // tell shows a deed, or what has become of it.
  tell(d) {
    const shown = el('div', { class: 'deed', 'data-deed': d.id, 'data-state': d.state },
      el('h3', {}, el('b', {}, d.title), el('i', {}, d.state),
        d.undo && el('button', { type: 'button', onclick: () => this.#undo(d.id) }, d.undo)),
      d.error && el('p', { class: 'error' }, d.error),
      d.lines?.length > 0 && el('pre', {}, d.lines.slice(-12).join('\n')));
    const old = this.#list.get(d.id);
    const focused = old?.contains(document.activeElement);
    if (old) old.replaceWith(shown);
    else this.#output.prepend(shown);
    if (focused) shown.querySelector('button')?.focus();
    this.#list.set(d.id, shown);
    this.#badge();
  }

  // badge says on the button how much is in force.
  #badge() {
    const n = [...this.#list.values()].filter((e) => e.querySelector('button')).length;
    by('do').textContent = n ? `Do … (${n})` : 'Do …';
  }

  toggle() {
    if (by('do').hidden) return;
    const open = by('deeds').hidden;
    by('deeds').hidden = !open;
    by('do').setAttribute('aria-expanded', open);
    (open ? by('deeds').querySelector('select, button') : by('do'))?.focus();
  }
}

const group = (name, ...parts) => el('fieldset', {}, el('legend', {}, name), ...parts);

// choice is a select. Made again, as the network has changed, it keeps what was chosen.
function choice(name, values, first) {
  const chosen = valueOf(name) ?? first;
  return el('select', { 'aria-label': name }, values.map((v) => {
    const [value, words] = Array.isArray(v) ? v : [v, v];
    return el('option', { value, selected: value === chosen }, words);
  }));
}

const valueOf = (name) => [...by('deeds').querySelectorAll('[aria-label]')].find((e) => e.getAttribute('aria-label') === name)?.value;
