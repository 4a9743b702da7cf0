// The page: one stream comes in, and each part of the page is told what concerns it.

import './theme.js';
import { json, said } from './api.js';
import * as bytes from './bytes.js';
import { Camera } from './camera.js';
import * as card from './card.js';
import { Deeds } from './deeds.js';
import { by, text } from './dom.js';
import { explain } from './explain.js';
import { inShort } from './twin.js';
import { watchFilter } from './filter.js';
import { watchKeys } from './keys.js';
import { List } from './list.js';
import { Lit } from './lit.js';
import { draw } from './picture.js';
import { show as showRates } from './rates.js';
import { save, saveSVG, watchOpen } from './share.js';
import { Stream } from './stream.js';
import { Way } from './way.js';
import { suggest, watchWhatIf } from './whatif.js';

let picture = null;
let lit = null;
let camera = null;
let state = null;
let sampled = 1;
let live = false;

const list = new List(open);
const deeds = new Deeds();
const way = new Way((stop) => {
  lit?.step(stop);
  camera?.step(stop, picture.topology.hosts);
  explain(stop, way.way);
  bytes.show(stop);
});

const events = {
  hello: (e) => { sampled = e.sampled ?? 1; status(); },
  topology: drawn,
  state: (e) => {
    state = e;
    if (!picture) return;
    showRates(picture, state);
    card.update(picture.topology, state);
    status();
  },
  packet: (e) => list.add(e),
  lost: (e) => list.lost(e.packets),
  sampled: (e) => { sampled = e.one_in; status(); },
  warning: (e) => text(by('warning'), e.text),
  deed: (e) => deeds.tell(e),
  bye: (e) => text(by('warning'), e.text || 'the program has ended'),
};

const stream = new Stream((name, data) => events[name]?.(data), (word, why) => {
  live = word === 'live';
  if (live) text(by('warning'), '');
  by('status').dataset.state = word;
  if (live) status();
  else by('status').textContent = why;
});

function status() {
  if (!live) return;
  const away = (state?.hosts ?? []).filter((h) => h.state !== 'up').map((h) => `${h.name} is ${h.state}`);
  const words = ['live'];
  if (sampled > 1) words.push(`one packet in ${sampled.toLocaleString('en')} is listened to`);
  if (state?.broken) words.push(`planted: ${state.broken}`);
  const said = [...words, ...away].join(' · ');
  if (by('status').textContent !== said) by('status').textContent = said;
  by('status').dataset.state = away.length ? 'away' : 'live';
}

function drawn(topology) {
  const focused = document.activeElement?.dataset?.host;
  picture = draw(by('topology'), topology, (name) => card.toggle(name, picture.topology, state));
  picture.hosts.get(focused)?.focus();
  lit = new Lit(picture);
  camera = new Camera(picture.root, topology);
  text(by('title'), topology.title ? `· ${topology.title.replace(/^vrouter /, '')}` : '');
  suggest(topology);
  deeds.begin(topology);
  if (state) showRates(picture, state);
  card.update(topology, state);
  if (way.way) {
    lit.way(way.way);
    lit.step(way.current);
    camera.step(way.current, topology.hosts);
  }
}

async function open(id) {
  try {
    show(await json(`/v1/ways/${encodeURIComponent(id)}`));
  } catch (error) {
    failed(error);
  }
}

function show(w) {
  lit?.way(w);
  way.show(w);
  text(by('warning'), '');
  text(by('twin'), w.twin ? inShort(w.twin) : '');
  by('kernel').hidden = !asksKernel(w);
}

// asksKernel says whether the kernel's twin can be sent the packet of a way: that is doing, not looking.
const asksKernel = (w) => picture?.topology.twin && picture.topology.write && Boolean(w.line || (w.kind === 'way' && w.id));

// beside sends the packet of the way into the lab and its twin, and shows what differs.
async function beside() {
  const w = way.way;
  if (!w || !asksKernel(w)) return;
  text(by('twin'), 'The kernel beside it is asked …');
  w.twin = await json('/v1/twin', { method: 'POST', body: w.line ? { packet: w.line } : { id: w.id } }).catch((error) => ({ error: said(error) }));
  if (way.way !== w) return;
  text(by('twin'), inShort(w.twin));
  explain(way.current, w);
}

function close() {
  lit?.clear();
  camera?.whole();
  way.hide();
  list.select('');
}

const failed = (error) => text(by('warning'), said(error));
const picked = () => saveSVG(by('topology'), way.way);

by('back').addEventListener('click', () => way.by(-1));
by('forward').addEventListener('click', () => way.by(1));
by('close').addEventListener('click', close);
by('save').addEventListener('click', () => save(way.way));
by('export').addEventListener('click', picked);
by('kernel').addEventListener('click', beside);
by('do').addEventListener('click', () => deeds.toggle());

watchWhatIf((w) => { list.select(''); show(w); });
watchOpen(show, failed);
watchFilter((filter) => { list.clear(); stream.listen(filter); });
watchKeys({
  ArrowRight: () => way.by(1),
  ArrowLeft: () => way.by(-1),
  Home: () => way.go(0),
  End: () => way.go(Infinity),
  PageDown: () => way.host(1),
  PageUp: () => way.host(-1),
  n: () => way.change(1),
  b: () => way.change(-1),
  Escape: close,
  l: () => (document.querySelector('#packets [data-id]') ?? by('packets')).focus(),
  f: () => by('filter').select(),
  w: () => by('whatif').select(),
  d: () => deeds.toggle(),
  p: () => list.pause(),
  k: beside,
  z: () => camera?.toggle(),
  x: () => { bytes.toggle(); if (way.current) bytes.show(way.current); },
  s: () => { if (way.way) save(way.way); },
  o: () => by('open').click(),
  e: picked,
  t: () => by('theme').click(),
});

stream.listen('');
