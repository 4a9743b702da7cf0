// The packets, as they come. However many come, the list is bounded, and only some are drawn, now and
// then: what is left out is counted, and said.

import { by, el, text } from './dom.js';
import { clock, count, time } from './units.js';

const ROWS = 300; // kept
const A_TIME = 20; // drawn at once, at most
const EVERY = 100; // ms from one drawing to the next: nobody reads faster
const AIMING = 2000; // ms that the list holds still after the pointer was moved over it

export class List {
  #waiting = []; // the newest last, ROWS at most
  #rows = by('packets');
  #due = false;
  #drawn = 0; // when
  #paused = false;
  #aimed = -Infinity;
  #selected = '';
  #missed = 0; // that the program left out: too many, or lost
  #gap = false; // the program was not listened to for a while
  #unread = 0; // that came too fast to be drawn

  // open(id) is told which packet's way is wanted.
  constructor(open) {
    this.open = open;
    this.#rows.addEventListener('click', (e) => this.#choose(e.target.closest('[data-id]')));
    this.#rows.addEventListener('keydown', (e) => this.#key(e));
    this.#rows.addEventListener('pointermove', () => { this.#aimed = performance.now(); });
    by('pause').addEventListener('click', () => this.pause());
    this.#hint();
  }

  // add takes a packet's way in short.
  add(packet) {
    this.#missed += (packet.lost ?? 0) + (packet.skipped ?? 0);
    this.#waiting.push(packet);
    if (this.#waiting.length > ROWS) {
      this.#waiting.shift();
      this.#unread++;
    }
    this.#draw();
  }

  // lost counts packets of which the program could not tell; 0: it does not know how many.
  lost(n) {
    this.#missed += n;
    this.#gap ||= n === 0;
    this.#draw();
  }

  clear() {
    this.#waiting = [];
    this.#missed = this.#unread = 0;
    this.#gap = false;
    this.#rows.replaceChildren();
    this.#hint();
    text(by('missed'), '');
  }

  pause() {
    this.#paused = !this.#paused;
    this.#button();
    this.#draw();
  }

  #button() {
    const waiting = this.#paused && this.#waiting.length > 0 ? ` (${this.#waiting.length})` : '';
    by('pause').setAttribute('aria-pressed', this.#paused);
    by('pause').textContent = this.#paused ? `Go on${waiting}` : 'Pause';
  }

  // draw shows what waits with a frame of the screen, but not before it is time.
  #draw() {
    if (this.#due) return;
    this.#due = true;
    const now = performance.now();
    const wait = Math.max(0, this.#drawn + EVERY - now, this.#paused ? 0 : this.#aimed + AIMING - now);
    setTimeout(() => requestAnimationFrame(() => {
      this.#due = false;
      this.#drawn = performance.now();
      if (!this.#paused && this.#drawn < this.#aimed + AIMING) this.#draw(); // aimed at meanwhile
      else if (!this.#paused) this.#show();
      this.#count();
    }), wait);
  }

  #show() {
    if (this.#waiting.length === 0) return;
    const some = this.#waiting.splice(0);
    this.#unread += Math.max(0, some.length - A_TIME);
    const still = this.#rows.scrollTop > 4 ? this.#rows.scrollHeight - this.#rows.scrollTop : 0;
    this.#rows.querySelector('.hint')?.remove();
    this.#rows.prepend(...some.slice(-A_TIME).reverse().map((p) => this.#row(p)));
    while (this.#rows.childElementCount > ROWS) this.#rows.lastElementChild.remove();
    if (still) this.#rows.scrollTop = this.#rows.scrollHeight - still;
  }

  #count() {
    if (this.#paused) this.#button();
    const words = [];
    if (this.#missed) words.push(`${count(this.#missed, 'packet')} not listened to or lost on the way here: there were too many`);
    if (this.#gap) words.push('while the stream was broken, packets may have gone unseen');
    if (this.#unread) words.push(`${count(this.#unread, 'packet')} came too fast to be shown`);
    text(by('missed'), words.join('; '));
  }

  #row(p) {
    const bad = p.outcome === 'dropped' || p.outcome === 'unseen' || p.reply === 'lost';
    const fate = p.outcome === 'dropped' ? `${p.reason}${p.at ? ` at ${p.at}` : ''}` : `${p.outcome} ${time(p.ns)}`;
    const reply = { arrived: `reply ${time(p.reply_ns)}`, lost: 'its reply was lost', none: 'no reply' }[p.reply];
    const id = String(p.id);
    return el('div', {
      id: `packet-${id}`, class: `row${bad && !p.noise ? ' bad' : ''}${p.noise ? ' noise' : ''}`, role: 'option',
      'data-id': id, 'data-outcome': p.outcome, 'data-reason': p.reason || null, tabindex: -1, 'aria-selected': id === this.#selected,
    },
    el('span', { class: 'what' }, p.summary),
    el('span', { class: 'when' }, clock(p.time)),
    el('span', { class: 'fate' }, fate, reply && ` · ${reply}`),
    el('span', { class: 'where' }, (p.hosts ?? []).join(' › ')));
  }

  #hint() {
    this.#rows.append(el('p', { class: 'hint' }, 'No packets yet. They are shown as they come: let a workload ping another.'));
  }

  #choose(row) {
    if (!row) return;
    this.select(row.dataset.id);
    row.focus({ preventScroll: true });
    this.open(row.dataset.id);
  }

  // select marks the row of a packet.
  select(id) {
    this.#selected = String(id);
    for (const row of this.#rows.querySelectorAll('[aria-selected=true]')) row.setAttribute('aria-selected', false);
    by(`packet-${id}`)?.setAttribute('aria-selected', true);
  }

  #key(e) {
    const at = document.activeElement.closest?.('[data-id]');
    const go = {
      ArrowDown: at ? at.nextElementSibling : this.#rows.querySelector('[data-id]'),
      ArrowUp: at?.previousElementSibling,
    };
    if (e.key === 'Enter' || e.key === ' ') {
      e.preventDefault();
      this.#choose(at ?? this.#rows.querySelector('[data-id]'));
    } else if (e.key in go) {
      e.preventDefault();
      this.#aimed = performance.now();
      go[e.key]?.focus();
    }
  }
}
