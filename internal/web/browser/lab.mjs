// The page of `vrouter lab web --write` in a lab of three hosts: node lab.mjs URL VROUTER.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { eventually, isRed, picture, steps, withPage } from './browser.mjs';

const [url, vrouter] = process.argv.slice(2);

// traced is the way of one packet as `vrouter lab trace` has it, while a function makes packets again and again.
async function traced(filter, again) {
  const trace = spawn(vrouter, ['lab', 'trace', '-o', 'json', '-c', '1', filter], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  trace.stdout.on('data', (d) => { out += d; });
  const ended = new Promise((done) => trace.on('close', () => done(true)));
  try {
    await eventually('the trace has one', async () => {
      await again();
      return Promise.race([ended, new Promise((done) => setTimeout(done, 1500))]);
    });
  } finally {
    trace.kill();
  }
  return JSON.parse(out.trim().split('\n')[0]);
}

// undoLast takes back what is in force.
async function undoLast(page) {
  await page.click('.deed[data-state="in force"] button');
  await page.waitForSelector('.deed[data-state="in force"]', { state: 'detached' });
}

await withPage(url, async (page) => {
  assert.deepEqual(await page.$$eval('[data-host]', (list) => list.map((e) => e.dataset.host)), ['host-1', 'host-2', 'host-3']);
  await page.keyboard.press('d');
  await page.selectOption('#deeds select[aria-label=from]', 'host-1/ns1');
  await page.selectOption('#deeds select[aria-label=to]', 'host-3/ns2');

  // A ping's steps are those of the trace. The next hop is known by then: of an ARP request to all, each of the
  // two tells the copy of another host.
  await page.click('#deeds >> text="Ping"');
  await page.waitForSelector('.deed[data-state=done]');
  const way = await traced('icmp', async () => {
    await page.click('#deeds >> text="Ping"');
    await page.waitForSelector('.deed[data-state=done]');
  });
  const summary = way.summary.split('  ')[0];
  assert.match(summary, /^icmp echo request 10\.70\.1\.1 > 10\.70\.3\.2/);
  const row = page.locator('#packets [data-id]', { hasText: summary }).first();
  await row.click();
  await page.waitForSelector('#way [aria-current=step]');
  assert.deepEqual(await steps(page), way.packets.flatMap((p) => p.steps.map((s) => `${s.step} ${s.verdict}`)));
  assert.deepEqual(await page.$$eval('.host.on', (list) => list.map((e) => e.dataset.host)), ['host-1', 'host-3']);
  await picture(page, 'three-hosts');
  await page.keyboard.press('Escape');

  // A cable made worse, and mended.
  await page.fill('#deeds input', 'loss 100%');
  await page.click('text=Make it so');
  const cable = page.locator('.rate .subnet');
  await eventually('the cable says how bad it is', async () => /loss 100%/.test(await cable.textContent()));
  await undoLast(page);
  await eventually('it is as it was', async () => / {2}delay 1ms$/.test(await cable.textContent()));

  // A packet stopped before a step, and let go.
  await page.selectOption('#deeds select[aria-label=host]', 'host-1');
  await page.selectOption('#deeds select[aria-label=before]', 'ttl');
  await page.click('text=Stop it there');
  await page.waitForSelector('.deed[data-state=running] >> text=timers run on');
  await page.click('#deeds >> text="Ping"');
  await eventually('the picture says so', async () => /[1-9] held before ttl, \d+ s/.test(await page.textContent('[data-host=host-1]')));
  await page.click('#deeds >> text="let go"');
  await page.waitForSelector('.deed[data-state=undone]');
  await eventually('it is gone', async () => !/held before/.test(await page.textContent('[data-host=host-1]')));

  // A route taken away: a drop that is red and says why; and given back.
  await page.selectOption('#deeds select[aria-label=route]', 'host-1 10.70.3.0/24');
  await page.click('text=Take it away');
  await page.waitForSelector('.deed[data-state="in force"]');
  await page.click('#deeds >> text="Ping"');
  const dropped = page.locator('#packets .row.bad[data-reason=no_route]').first();
  await dropped.click();
  const drop = page.locator('#way [data-step=route][data-verdict=drop]').first();
  await drop.click();
  assert.ok(await isRed(drop.locator('b')));
  assert.match(await page.textContent('#explain'), /no_route.*mend/s);
  await page.waitForSelector('[data-host=host-1].fate');
  await undoLast(page);

  // A router that is dead is said to be.
  await page.selectOption('#deeds select[aria-label=fault]', 'killed-router');
  await page.click('text=Plant it');
  await page.waitForSelector('[data-host]:not([data-state=up])');
  await eventually('the status says so', async () => /is (dead|silent)/.test(await page.textContent('#status')));
  await undoLast(page);
  await page.waitForSelector('[data-host]:not([data-state=up])', { state: 'detached' });
});
