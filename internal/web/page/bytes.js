// The bytes of a packet at a step: header by header, each field by its name, with what the step
// changed beside what it was.

import { by, el } from './dom.js';
import { align, cells, layers } from './fields.js';

let raw = false; // two dumps instead of named fields

// toggle shows dumps, or fields.
export function toggle() { raw = !raw; }

// show takes the packet's frame before the step and, if the step changed it, behind it.
export function show(stop) {
  const before = frameBefore(stop);
  const after = stop.step.frame ? { frame: stop.step.frame, fields: stop.step.fields ?? [] } : null;
  const body = !before && !after ? [el('p', { class: 'hint' }, 'Of this packet no bytes are known.')]
    : raw ? dumps(before, after, stop.step) : named(before, after);
  by('bytes').replaceChildren(
    el('h3', {}, title(before, after), el('button', { type: 'button', id: 'raw', 'aria-pressed': raw, title: 'Bytes as a dump (x)', onclick: () => { toggle(); show(stop); by('raw').focus(); } }, raw ? 'Fields' : 'Dump')),
    ...body);
  by('bytes').scrollTop = 0;
  by('bytes').querySelector('.layer:has(.changed), .layer.added, .layer.removed')?.scrollIntoView({ block: 'nearest' });
}

function title(before, after) {
  const length = (f) => `${f.frame.length} bytes`;
  if (!after || !before) return before || after ? length(before ?? after) : 'Bytes';
  const sizes = before.frame.length === after.frame.length ? length(after) : `${before.frame.length} bytes before, ${after.frame.length} after`;
  return `${sizes}: before → after`;
}

// frameBefore is the frame as the last step that changed it left it, or as it came.
function frameBefore({ packet, index }) {
  for (let i = index - 1; i >= 0; i--) {
    if (packet.steps[i].frame) return { frame: packet.steps[i].frame, fields: packet.steps[i].fields ?? [] };
  }
  return packet.frame ? { frame: packet.frame, fields: packet.fields ?? [] } : null;
}

const bytesOf = ({ frame }) => Uint8Array.from(atob(frame.bytes), (c) => c.charCodeAt(0));
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(' ');

function named(before, after) {
  const was = before && layers(before.fields, bytesOf(before));
  const is = after ? layers(after.fields, bytesOf(after)) : was;
  const rows = align(after && was ? was : is, is);
  const whole = (after ?? before).frame;
  const cut = whole.length - bytesOf(after ?? before).length;
  return [...rows.map(([old, now]) => layer(old, now)), cut > 0 && el('p', { class: 'hint' }, `and ${cut} more bytes`)].filter(Boolean);
}

function layer(old, now) {
  const kind = !old ? 'added' : !now ? 'removed' : 'same';
  const here = now ?? old;
  const said = { added: 'put in front by this step', removed: 'taken off by this step' }[kind] ?? '';
  return el('section', { class: `layer ${kind}`, 'data-layer': here.name },
    el('h4', {}, here.name, el('small', {}, said || `${here.to - here.from} bytes`)),
    el('div', { class: 'cells' }, cells(old, now).map(cell)));
}

// cell is a field, or several that share bytes.
function cell({ name, was, is, changed }) {
  const words = is ?? was;
  return el('div', { class: `cell${changed ? ' changed' : ''}`, 'data-field': name, 'data-changed': changed },
    el('span', { class: 'field' }, name),
    el('code', {}, changed && was ? [el('del', {}, hex(was.bytes)), ' ', el('ins', {}, hex(is.bytes))] : hex(words.bytes)),
    el('span', { class: 'value' }, changed && was ? [el('del', {}, was.value), ' → ', el('ins', {}, is.value)] : words.value));
}

function dumps(before, after, step) {
  const list = [];
  if (before) list.push(dump(after ? 'before' : '', bytesOf(before), step.removed ?? (after ? step.changed : []), 'del'));
  if (after) list.push(dump('after', bytesOf(after), step.changed ?? [], 'ins'));
  return [el('div', { class: 'dumps' }, list)];
}

function dump(name, bytes, marked, tag) {
  const marks = (i) => marked?.some((r) => i >= r.from && i < r.to);
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    lines.push(el('span', { class: 'offset' }, at.toString(16).padStart(4, '0')), ' ');
    for (let i = at; i < Math.min(at + 16, bytes.length); i++) {
      const text = bytes[i].toString(16).padStart(2, '0');
      lines.push(' ', marks(i) ? el(tag, {}, text) : text);
    }
    lines.push('\n');
  }
  return el('figure', {}, name && el('figcaption', {}, name), el('pre', {}, lines));
}
