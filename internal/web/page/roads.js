// Along which lines of the picture a packet gets from one place to another.

// road is from a host's router to another's by their uplinks and the links between: a list of points,
// or [] where nothing joins them.
export function road(topology, from, to) {
  const start = plug(topology, from);
  const end = plug(topology, to);
  if (!start || !end) return [];
  const between = shortest(segments(topology), start.at(-1), end.at(-1));
  return between ? [...start, ...between.slice(1, -1), ...end.toReversed()] : [];
}

// plug is a host's uplink, from its router to the link.
export function plug(topology, host) {
  return topology.cables.find((c) => c.kind === 'uplink' && c.host === host)?.path;
}

// stub is the cable of a workload, from it to the router.
export function stub(topology, host, port) {
  return topology.cables.find((c) => c.kind === 'workload' && c.host === host && c.port === port)?.path;
}

// segments are the straight parts of the links.
function segments(topology) {
  const list = [];
  for (const c of topology.cables.filter((cable) => cable.kind === 'link')) {
    for (const path of [c.path, ...(c.more ?? [])]) {
      for (let i = 1; i < (path?.length ?? 0); i++) list.push([path[i - 1], path[i]]);
    }
  }
  return list;
}

const key = (p) => p.join(',');
const distance = (a, b) => Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]);
const on = ([a, b], p) => distance(a, p) + distance(p, b) === distance(a, b) && (a[0] === b[0] || a[1] === b[1]);

// shortest is Dijkstra's, over the places where lines meet.
function shortest(lines, from, to) {
  const places = new Map([from, to, ...lines.flat()].map((p) => [key(p), p]));
  const best = new Map([[key(from), 0]]);
  const before = new Map();
  const open = new Set([key(from)]);
  while (open.size > 0) {
    const here = [...open].reduce((a, b) => (best.get(b) < best.get(a) ? b : a));
    open.delete(here);
    if (here === key(to)) {
      const path = [];
      for (let k = here; k !== undefined; k = before.get(k)) path.unshift(places.get(k));
      return path;
    }
    for (const line of lines.filter((l) => on(l, places.get(here)))) {
      for (const [k, p] of places) {
        const length = best.get(here) + distance(places.get(here), p);
        if (k !== here && on(line, p) && length < (best.get(k) ?? Infinity)) {
          best.set(k, length);
          before.set(k, here);
          open.add(k);
        }
      }
    }
  }
  return null;
}
