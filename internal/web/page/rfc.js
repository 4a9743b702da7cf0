// RFCs by name. Nothing is fetched: a link is followed only by who clicks it.

import { el } from './dom.js';

export function rfcs(text) {
  return text.split(/(RFC \d+)/).map((part) => {
    const number = /^RFC (\d+)$/.exec(part)?.[1];
    return number ? el('a', { href: `https://www.rfc-editor.org/rfc/rfc${number}`, target: '_blank', rel: 'noreferrer noopener' }, part) : part;
  });
}
