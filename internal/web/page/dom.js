// Elements made by hand. What packets, hosts and workloads are called comes from strangers, and is
// a text node wherever it goes: nothing here, or anywhere else, reads text as markup.

const SVG = 'http://www.w3.org/2000/svg';

// el makes an element: el('p', {class: 'x', onclick: f}, 'text', another).
export const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

// svg makes one of a picture.
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === 'function') {
      element.addEventListener(name.slice(2), value);
    } else if (value === true) {
      element.setAttribute(name, '');
    } else if (value !== false && value != null) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat().filter((c) => c != null && c !== false && c !== ''));
  return element;
}

// by finds an element of index.html.
export const by = (id) => document.getElementById(id);

// text shows a text in an element, or hides the element where there is none.
export function text(element, words) {
  element.textContent = words;
  element.hidden = !words;
}

// pair is a name, and what there is to say.
export const pair = (name, ...words) => el('p', { class: 'pair' }, el('b', {}, name), el('span', {}, words));
