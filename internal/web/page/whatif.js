// What if: a packet in words, and the way it would take. Nothing is sent.

import { by } from './dom.js';
import { json } from './api.js';
import { wrong } from './filter.js';

// watchWhatIf calls show(way) with what the program says of a packet that is typed.
export function watchWhatIf(show) {
  const input = by('whatif');
  input.addEventListener('input', () => wrong(input, null));
  by('asking').addEventListener('submit', async (e) => {
    e.preventDefault();
    const packet = input.value.trim() || input.placeholder;
    input.value = packet;
    try {
      const way = await json('/v1/explain', { method: 'POST', body: { packet } });
      wrong(input, null);
      show({ ...way, line: packet });
    } catch (error) {
      wrong(input, error);
    }
  });
}

// suggest takes addresses of the network for the example: from the first workload to the last.
export function suggest(topology) {
  const all = topology.hosts.flatMap((h) => (h.workloads ?? []).flatMap((w) => w.addresses ?? [])).filter((a) => !a.includes(':'));
  if (all.length > 1) by('whatif').placeholder = `icmp ${all[0]} > ${all.at(-1)} ttl 1`;
}
