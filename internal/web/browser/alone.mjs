// The page against a program that means no good, or is in trouble: node alone.mjs.

import assert from 'node:assert/strict';
import { current, eventually, isRed, press, watch, withPage } from './browser.mjs';
import { network, packet, serve, wayOf } from './stub.mjs';

// Whatever things are called, it stays text.
async function hostileNames() {
  const evil = '<img src=x onerror=alert(1)>"\'&<script>alert(2)</script>\u202e';
  const network1 = network(evil, evil);
  const state = { hosts: [{ name: evil, state: 'up', ports: [], drops: [{ reason: evil, packets_per_second: 3, packets: 3, help: evil, mend: evil, rfc: evil }] }], links: [], broken: evil };
  const server = await serve({ way: wayOf(1, evil, evil) }, (say) => {
    say('hello', { filter: evil });
    say('topology', network1);
    say('state', state);
    say('packet', packet(1, evil, evil), 1);
    say('warning', { text: evil });
  });
  try {
    await withPage(server.url, async (page) => {
      page.on('dialog', () => assert.fail('a name was run'));
      await page.click('#packets [data-id]');
      await page.waitForSelector('#way [aria-current=step]');
      await page.keyboard.press('End');
      await page.locator('[data-host]').focus();
      await page.keyboard.press('Enter');
      await page.waitForSelector('#host:not([hidden])');
      for (const place of ['#packets', '#way', '#explain', '#bytes', '#host', '#status', '[data-host]', '#summary']) {
        assert.ok((await page.textContent(place)).includes('<img src=x') || place === '[data-host]', `${place} has it as text`);
      }
      assert.equal(await page.$$eval('img, script', (list) => list.length), 2, 'the logo and the page\'s own module, and no other');
    });
  } finally {
    server.close();
  }
}

// The kernel beside it, where the lab has one: what differs is marked.
async function beside() {
  const twin = {
    vrouter: [{ at: 'b/ns1', summary: 'icmp ttl 62' }], kernel: [],
    differences: [{ field: 'TTL', at: 'b/ns1', vrouter: '62', kernel: '61', reason: '' }, { field: 'IP ID', at: 'b/ns1', vrouter: '1', kernel: '2', reason: 'each counts by itself' }],
  };
  const server = await serve({ way: wayOf(1, 'icmp', 'a'), '/v1/twin': twin, '/v1/deeds': { faults: [], deeds: [] } }, (say) => {
    say('hello', {});
    say('topology', { ...network('a', 'ns1'), twin: true, write: true });
    say('packet', packet(1, 'icmp', 'a'), 1);
  });
  try {
    await withPage(server.url, async (page) => {
      await page.click('#packets [data-id]');
      await page.waitForSelector('#way [aria-current=step]');
      await page.click('#kernel');
      await eventually('it is said', async () => /2 differences, 1 of them without a known reason/.test(await page.textContent('#twin')));
      await page.keyboard.press('End');
      assert.match(await page.textContent('#explain .twin'), /kernelnothing came out/);
      assert.ok(await isRed(page.locator('#explain .unknown')));
      assert.ok(!(await isRed(page.locator('#explain .known'))));
    });
  } finally {
    server.close();
  }
}

// A stream that breaks is said to, and comes back by itself from the last event on; what was lost is said.
async function brokenStream() {
  const asked = [];
  let hangUp = () => {};
  const server = await serve({}, (say, request, response) => {
    asked.push(request.headers['last-event-id'] ?? '');
    say('hello', {});
    say('topology', network('a', 'ns1'));
    if (asked.length === 1) say('packet', packet(7, 'the first', 'a'), 7);
    else { say('lost', { packets: 41 }); say('packet', packet(50, 'the next', 'a'), 50); }
    hangUp = () => response.destroy();
  });
  try {
    await withPage(server.url, async (page) => {
      page.expected.push(/ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE/);
      await page.waitForSelector('[data-id="7"]');
      hangUp();
      await page.waitForSelector('#status[data-state=broken]');
      await page.waitForSelector('[data-id="50"]');
      assert.deepEqual(asked, ['', '7']);
      await eventually('what was lost is said', async () => /41 packets/.test(await page.textContent('#missed')));
      assert.equal(await page.getAttribute('#status', 'data-state'), 'live');
    });
  } finally {
    server.close();
  }
}

// A flood leaves the page quick, and its memory as it was.
async function flood() {
  const SECONDS = 4;
  const RATE = 2000; // events a second: ten times what the program sends
  const server = await serve({ way: wayOf(1, 'icmp', 'a') }, (say, request, response) => {
    say('hello', {});
    say('topology', network('a', 'ns1'));
    say('packet', packet(1, 'the first', 'a'), 1);
    let id = 1;
    const timer = setInterval(() => {
      for (let i = 0; i < RATE / 50 && response.writableLength < 1e6; i++) say('packet', packet(++id, `udp 10.70.1.1:${id} > 10.70.2.1:53`, 'a'), id);
    }, 20);
    response.on('close', () => clearInterval(timer));
  });
  try {
    await withPage(server.url, async (page) => {
      const watched = await watch(page);
      await page.keyboard.press('l');
      await page.keyboard.press('Enter');
      await page.waitForSelector('#way [aria-current=step]');
      const before = await watched.heap();
      for (let i = 0; i < SECONDS * 5; i++) {
        await press(page, i % 2 ? 'ArrowLeft' : 'ArrowRight');
        await page.waitForTimeout(200);
      }
      const after = await watched.heap();
      const { keys, within } = await watched.answered();
      const rows = await page.$$eval('#packets [data-id]', (list) => list.length);
      console.log(`flood: ${rows} rows; heap ${(before / 1e6).toFixed(1)} MB, then ${(after / 1e6).toFixed(1)} MB; 95 % of ${keys} keys answered within ${within.toFixed(0)} ms`);
      assert.ok(rows <= 300, `${rows} rows`);
      assert.ok(after < before + 4e6, `the heap grew from ${before} to ${after}`);
      assert.match(await page.textContent('#missed'), /came too fast to be shown/);
      assert.equal(await current(page), 0);
      assert.ok(within < 1000, `95 % of keys answered within ${within} ms`); // 100 on a machine with nothing else to do
    });
  } finally {
    server.close();
  }
}

// Both themes can be read: text against its ground, by WCAG 1.4.3.
async function contrast() {
  const server = await serve({}, (say) => { say('hello', {}); say('topology', network('a', 'ns1')); });
  try {
    for (const colorScheme of ['light', 'dark']) {
      await withPage(server.url, async (page) => {
        const poor = await page.evaluate(() => {
          const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
          const probe = document.body.appendChild(document.createElement('i'));
          const light = (name) => {
            probe.className = 'probe';
            probe.style.color = `var(--${name})`;
            canvas.fillStyle = getComputedStyle(probe).color;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const pairs = ['ink', 'soft', 'accent', 'reply', 'caused', 'good', 'bad', 'edit'].flatMap((text) => ['page', 'sheet', 'raised'].map((ground) => [text, ground]));
          pairs.push(['bad', 'bad-wash'], ['edit', 'edit-wash'], ['ink', 'accent-wash']);
          return pairs.map(([a, b]) => {
            const [x, y] = [light(a), light(b)].sort((m, n) => n - m);
            return [`${a} on ${b}`, (x + 0.05) / (y + 0.05)];
          }).filter(([, ratio]) => ratio < 4.5);
        });
        assert.deepEqual(poor, [], colorScheme);
        await page.keyboard.press('t');
        assert.equal(await page.getAttribute('html', 'data-theme'), 'light');
      }, { colorScheme });
    }
  } finally {
    server.close();
  }
}

await hostileNames();
await beside();
await brokenStream();
await flood();
await contrast();
