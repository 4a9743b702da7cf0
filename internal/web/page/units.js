// Numbers in words, as the commands print them.

// rate is packets a second; '' for none.
export function rate(perSecond) {
  if (!perSecond || perSecond < 0.05) return '';
  return `${short(perSecond)}/s`;
}

// bits a second.
export const bits = (perSecond) => `${short(perSecond ?? 0).replace(/(\D?)$/, ' $1')}bit/s`;

// short has three digits and a letter.
function short(n) {
  for (const [unit, size] of [['G', 1e9], ['M', 1e6], ['k', 1e3]]) {
    if (n >= size) return (n / size).toPrecision(3).replace(/\.?0+$/, '') + unit;
  }
  return n < 10 ? n.toFixed(1).replace('.0', '') : n.toFixed(0);
}

// time is a duration in nanoseconds.
export function time(ns) {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(2)} s`;
  return `${(ns / 1e6).toFixed(3)} ms`;
}

// micro is one inside a router.
export const micro = (ns) => (ns ? `+${(ns / 1e3).toFixed(1)} µs` : '');

// clock is the time of day of an RFC 3339 time, to the millisecond.
export function clock(stamp) {
  const t = new Date(stamp);
  if (Number.isNaN(t.getTime())) return '';
  return `${t.toTimeString().slice(0, 8)}.${String(t.getMilliseconds()).padStart(3, '0')}`;
}

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
