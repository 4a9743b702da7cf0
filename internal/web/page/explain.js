// What was decided at a step, and why.

import { by, el, pair } from './dom.js';
import { rfcs } from './rfc.js';
import { twin } from './twin.js';
import { micro, time } from './units.js';

const VERDICTS = {
  pass: 'goes on', edit: 'is changed, and goes on', drop: 'ends here', consume: 'is for this router', hold: 'waits here',
};

export function explain(stop, way) {
  const { packet, step, first, last } = stop;
  const parts = [
    el('h3', { class: step.verdict },
      el('b', {}, step.step), ' at ', el('b', {}, packet.host), ': the packet ', VERDICTS[step.verdict] ?? step.verdict),
    step.reason && !step.detail?.includes(step.reason) && el('p', { class: 'detail drop' }, step.reason),
    step.detail && el('p', { class: `detail ${step.verdict}` }, step.detail),
    step.reason && step.reason_help && !step.detail?.includes(step.reason_help) && pair('that is', step.reason_help),
    step.route && step.route !== step.detail && pair('route', step.route),
    step.help && pair('this step', step.help),
    step.rfc && pair('by', ...rfcs(step.rfc)),
    step.ns > 0 && way.kind !== 'whatif' && pair('after', `${micro(step.ns)} in this router`),
    first && packet.from && pair('wire', `from ${packet.from}${packet.wire_ns != null ? `, ${time(packet.wire_ns)} on the way` : ''}${packet.via ? `, by ${packet.via}` : ''}`),
    first && packet.cause && pair('because of', `packet ${packet.cause} of this host`),
    last && packet.mend && pair('mend', packet.mend),
    ...(last ? packet.why ?? [] : []).map((why) => pair('why', why)),
    last && packet.when && pair('only if', packet.when),
    ...(last ? packet.consequences ?? [] : []).map(consequence),
    packet.unseen && last && pair('then', `it left for ${packet.unseen}, which did not see it`),
    last && way.twin && twin(way.twin),
  ];
  by('explain').replaceChildren(...parts.filter(Boolean));
}

// consequence is what else is done because of the packet.
const consequence = (c) => pair(c.action.replace('_', ' '), c.detail,
  c.withheld && ` (not done: ${c.withheld})`, c.when && ` (if ${c.when})`);
