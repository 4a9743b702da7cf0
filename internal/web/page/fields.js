// The named fields of a frame, put together by header, and those of two frames held against each other.

// layers are the headers of a frame in order, each {name, from, to, fields, bytes}, and what no field
// names as data at the end.
export function layers(fields, bytes) {
  const list = [];
  for (const f of fields) {
    let l = list.at(-1);
    if (!l || l.name !== f.layer || (f.from >= l.to && l.fields[0].name === f.name)) { // another header of the same kind
      l = { name: f.layer, from: f.from, to: f.to, fields: [], bytes };
      list.push(l);
    }
    l.fields.push(f);
    l.to = Math.max(l.to, f.to);
  }
  const end = list.reduce((to, l) => Math.max(to, l.to), 0);
  if (end < bytes.length) {
    list.push({ name: 'data', from: end, to: bytes.length, fields: [{ from: end, to: bytes.length, name: 'payload', value: '' }], bytes });
  }
  return list;
}

// align pairs the headers of two frames from the end on, as what a step puts in front or takes off is in front:
// a list of [before, after], one of which is missing where the other one was added or removed.
export function align(before, after) {
  const rows = [];
  let b = before.length - 1;
  let a = after.length - 1;
  while (b >= 0 || a >= 0) {
    if (b >= 0 && a >= 0 && before[b].name === after[a].name) rows.unshift([before[b--], after[a--]]);
    else if (a > b) rows.unshift([undefined, after[a--]]);
    else rows.unshift([before[b--], undefined]);
  }
  return rows;
}

// cells are the fields of a header, those that share bytes as one, with what they were and are.
export function cells(before, after) {
  const list = group(after ?? before);
  const old = before && after ? group(before) : [];
  return list.map((g) => {
    const was = old.find((o) => o.name === g.name);
    if (!after) return { name: g.name, was: g, is: null, changed: false };
    return { name: g.name, was, is: g, changed: Boolean(was) && !equal(was.bytes, g.bytes) };
  });
}

function group(layer) {
  const list = [];
  for (const f of layer.fields) {
    const last = list.at(-1);
    if (last && f.from < last.to) {
      last.to = Math.max(last.to, f.to);
      last.names.push(f.name);
      last.values.push(f.value);
    } else {
      list.push({ from: f.from, to: f.to, names: [f.name], values: [f.value] });
    }
  }
  return list.map((g) => ({
    name: g.names.join(', '),
    value: g.values.filter((v) => v !== '').join(', '),
    bytes: layer.bytes.subarray(g.from, g.to),
  }));
}

const equal = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
