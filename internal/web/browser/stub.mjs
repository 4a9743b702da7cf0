// A program that says what a test wants, to a page that knows no better: strangers' names, floods, streams that break.

import { readFile } from 'node:fs/promises';
import http from 'node:http';

const PAGE = new URL('../page/', import.meta.url);
const TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// serve answers with the page, with answers[path], or answers.way for each packet, and with what events(say, request) says.
export async function serve(answers, events) {
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://page');
    if (pathname === '/v1/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      const say = (name, data, id) => response.write(`${id ? `id: ${id}\n` : ''}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
      events(say, request, response);
      return;
    }
    const answer = answers[pathname] ?? (pathname.startsWith('/v1/ways/') ? answers.way : undefined);
    if (answer) {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(answer));
      return;
    }
    const name = pathname === '/' ? 'index.html' : pathname.slice(1);
    const file = await readFile(new URL(name, PAGE)).catch(() => null);
    response.writeHead(file ? 200 : 404, { 'Content-Type': `${TYPES[name.split('.').at(-1)]}; charset=utf-8`, 'Content-Security-Policy': POLICY });
    response.end(file ?? '');
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${server.address().port}/#token=x`, close: () => { server.closeAllConnections(); server.close(); } };
}

// network is one host with a workload, of the names given.
export function network(host, workload) {
  return {
    title: host, kind: 'lab', write: false, width: 440, height: 260, gateways: [],
    hosts: [{
      name: host, x: 40, y: 40, width: 360, height: 180, addresses: [workload], uplink: 'ens160', routes: [{ prefix: workload, via: host, dev: 'x' }],
      router: { x: 290, y: 120, width: 84, height: 84 }, workloads: [{ name: workload, x: 56, y: 140, width: 130, height: 44, addresses: [host] }],
    }],
    cables: [{ id: `${host}/${workload}`, kind: 'workload', host, port: workload, path: [[186, 162], [290, 162]] }],
  };
}

// packet is one in short; wayOf is all of it.
export const packet = (id, summary, host) => ({
  id, time: new Date().toISOString(), summary, outcome: 'dropped', reason: 'no_route', at: host, hosts: [host], ns: 1000, reply: '', lost: 0, skipped: 0,
});

export const wayOf = (id, words, host) => ({
  format: 'vrouter way 1', id, kind: 'way', summary: words, verdict: words, hosts: [host], outcome: 'dropped', reason: 'no_route', ns: 1000, notes: [words],
  packets: [{
    part: 'packet', id, host, in: words, out: '', outcome: 'dropped', reason: 'no_route', mend: words, summary: words, at_ns: 0, time: new Date().toISOString(),
    frame: { bytes: 'AAAAAAAB', length: 6 }, fields: [{ from: 0, to: 6, layer: words, name: words, value: words }],
    consequences: [{ action: 'tell', detail: words }],
    steps: ['rx', 'route', 'ttl', 'tx'].map((step, i) => ({ step, verdict: i === 3 ? 'drop' : 'pass', reason: i === 3 ? 'no_route' : '', ns: 5, detail: words, rfc: 'RFC 791', help: words })),
  }],
});
