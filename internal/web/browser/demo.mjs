// The page of `vrouter demo --web --write`: node demo.mjs URL.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { current, eventually, isRed, picture, press, steps, withPage } from './browser.mjs';

await withPage(process.argv[2], async (page) => {
  // The network, and a ping that appears.
  assert.deepEqual(await page.$$eval('[data-host]', (list) => list.map((e) => e.dataset.host)), ['k8s-master-1', 'k8s-node-1']);
  assert.equal(new URL(page.url()).hash, '', 'the token is taken off the address');
  const row = page.locator('#packets [data-id][data-outcome=delivered]', { hasText: 'icmp echo request' }).first();
  await row.waitFor();

  // Its way, stepped through by the keyboard alone.
  await page.keyboard.press('l');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#way [aria-current=step]');
  const all = await steps(page);
  assert.ok(all.includes('ttl edit') && all.filter((s) => s === 'tx pass').length === 4, `two hosts, there and back: ${all}`);
  assert.equal(await current(page), 0);
  await press(page, 'ArrowRight', 3);
  await press(page, 'ArrowLeft');
  assert.equal(await current(page), 2);
  await page.keyboard.press('End');
  assert.equal(await current(page), all.length - 1);
  await press(page, 'ArrowRight');
  assert.equal(await current(page), all.length - 1, 'the last step is the last');
  await page.keyboard.press('Home');
  await page.keyboard.press('n');
  assert.equal(await current(page), all.indexOf('ttl edit'), 'n goes to the next change');
  assert.match(await page.textContent('#explain'), /ttl 64 > 63.*RFC 1812/s);
  assert.match(await page.textContent('#bytes [data-field=TTL][data-changed]'), /40 3f.*64 → 63/s);
  assert.equal(await page.$$eval('#bytes [data-changed]', (list) => list.length), 2, 'the TTL and the checksum');
  await eventually('the host of the step is marked', async () => (await page.textContent('[data-host=k8s-master-1].at')).includes('ttl'));
  assert.ok(await page.$$eval('.lit .line.packet', (list) => list.length) >= 3, 'its way is lit');
  await picture(page, 'way');
  await page.keyboard.press('x');
  assert.match(await page.textContent('#bytes figure:last-of-type'), /after[^]*0010/);
  await page.keyboard.press('x');

  // It is saved, and opened again.
  const saving = page.waitForEvent('download');
  await page.keyboard.press('s');
  const file = await (await saving).path();
  await page.keyboard.press('Escape');
  assert.ok(await page.isHidden('#journey'));
  await page.setInputFiles('#file', { name: 'way.json', mimeType: 'application/json', buffer: readFileSync(file) });
  await page.waitForSelector('#way [aria-current=step]');
  assert.deepEqual(await steps(page), all);
  const svg = page.waitForEvent('download');
  await page.keyboard.press('e');
  assert.match(readFileSync(await (await svg).path(), 'utf8'), /^<svg[^]*k8s-node-1[^]*<\/svg>/);

  // What if: dashed, red, and with its reason.
  await page.keyboard.press('w');
  await page.keyboard.type('icmp 10.70.1.1 > 10.70.2.1 ttl 1');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#journey[data-kind=whatif]');
  const drop = page.locator('#way [data-step=ttl][data-verdict=drop]');
  assert.match(await drop.textContent(), /ttl_exceeded/);
  assert.ok(await isRed(drop.locator('b')));
  assert.notEqual(await page.$eval('.lit .would', (e) => getComputedStyle(e).strokeDasharray), 'none');
  await drop.click();
  assert.match(await page.textContent('#explain'), /ttl_exceeded/);
  await picture(page, 'whatif');
  await page.fill('#whatif', 'icmp nonsense');
  page.expected.push(/400 \(Bad Request\)/);
  await page.press('#whatif', 'Enter');
  await page.waitForSelector('#whatif-error:not(:empty)');

  // The filter says at the word what is wrong.
  await page.fill('#filter', 'icmp and hots 10.70.2.1');
  await page.waitForSelector('#filter-error mark');
  assert.equal(await page.textContent('#filter-error mark'), 'hots');
  await page.fill('#filter', 'icmp and host 10.70.2.1');
  await page.press('#filter', 'Enter');
  await page.waitForSelector('#packets [data-id]');

  // A fault planted: a drop that is red, with its reason, in the list and in the picture; then mended.
  await page.fill('#whatif', '');
  await press(page, 'Escape', 2); // out of the box, then out of the way
  assert.ok(await page.isHidden('#journey'));
  await page.keyboard.press('d');
  await page.selectOption('#deeds select[aria-label=fault]', 'blackhole');
  await page.click('#deeds >> text=Plant it');
  const deed = page.locator('.deed', { has: page.locator('button') }).first();
  await page.waitForSelector('.deed[data-state="in force"]');
  const bad = page.locator('#packets .row.bad[data-outcome=dropped]').first();
  await bad.waitFor();
  assert.equal(await bad.getAttribute('data-reason'), 'blackhole');
  assert.ok(await isRed(bad.locator('.fate')));
  const inPicture = page.locator('.drops text', { hasText: 'blackhole' }).first();
  await inPicture.waitFor();
  assert.ok(await isRed(inPicture));
  await bad.click();
  await page.waitForSelector('#way [data-verdict=drop]');
  await page.keyboard.press('n');
  assert.match(await page.textContent('#explain h3'), /route at k8s-master-1: the packet ends here/);
  await picture(page, 'drop');
  await deed.locator('button').click();
  await page.waitForSelector('.deed[data-state=undone]');
  await eventually('pings arrive again', async () => (await page.getAttribute('#packets [data-id]', 'data-outcome')) === 'delivered');
});
