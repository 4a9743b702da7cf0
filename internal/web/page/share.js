// A packet's way to take along: as a file, which the page and `vrouter trace --read` open again, and as
// a picture for slides.

import { by, svg } from './dom.js';
import { json } from './api.js';

export function save(way) {
  download(new Blob([JSON.stringify(way, null, 1), '\n'], { type: 'application/json' }), `${name(way)}.json`);
}

// watchOpen calls show(way) with what is in a file, once the program has looked at it.
export function watchOpen(show, failed) {
  const file = by('file');
  by('open').addEventListener('click', () => file.click());
  const read = async (blob) => {
    try {
      show(await json('/v1/read', { method: 'POST', body: await blob.text() }));
    } catch (error) {
      failed(error);
    }
  };
  file.addEventListener('change', () => {
    if (file.files[0]) read(file.files[0]);
    file.value = '';
  });
  document.addEventListener('dragover', (e) => e.preventDefault());
  document.addEventListener('drop', (e) => {
    e.preventDefault();
    if (e.dataTransfer.files[0]) read(e.dataTransfer.files[0]);
  });
}

// How things look comes from the style sheets; a file has none, so each element takes its own along.
const STYLES = ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-linecap', 'stroke-linejoin', 'opacity',
  'font-family', 'font-size', 'font-weight', 'display'];

// saveSVG writes the picture as it is seen, with the way's summary and outcome below.
export function saveSVG(root, way) {
  const copy = root.cloneNode(true);
  const seen = [...root.querySelectorAll('*')];
  [...copy.querySelectorAll('*')].forEach((e, i) => {
    const style = getComputedStyle(seen[i]);
    for (const s of STYLES) {
      const value = style.getPropertyValue(s);
      if (value) e.setAttribute(s, value);
    }
    for (const a of ['class', 'tabindex', 'role']) e.removeAttribute(a);
  });
  const [left, top, width, height] = root.getAttribute('viewBox').split(' ').map(Number); // as one looks at it
  const page = getComputedStyle(document.body);
  const line = (y, size, text) => svg('text', { x: left + width / 2, y: top + height + y, 'text-anchor': 'middle', fill: page.color, 'font-family': page.fontFamily, 'font-size': size }, text);
  copy.setAttribute('viewBox', `${left} ${top} ${width} ${height + 70}`);
  copy.setAttribute('width', width);
  copy.setAttribute('height', height + 70);
  copy.prepend(svg('rect', { x: left, y: top, width, height: height + 70, fill: page.backgroundColor }));
  copy.append(line(18, 17, way?.summary ?? ''), line(44, 14, way?.verdict ?? ''));
  const text = new XMLSerializer().serializeToString(copy);
  download(new Blob([text, '\n'], { type: 'image/svg+xml' }), `${way ? name(way) : 'network'}.svg`);
}

const name = (way) => `way-${(way.summary ?? '').replace(/[^A-Za-z0-9.]+/g, '-').replace(/^-|-$/g, '').slice(0, 60) || 'packet'}`;

function download(blob, file) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
