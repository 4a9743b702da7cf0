// The page of a lab that carries very many packets: node load.mjs URL SECONDS.

import assert from 'node:assert/strict';
import { press, watch, withPage } from './browser.mjs';

const EVERY = 200; // ms between two keys
const TURN = 25; // keys until another packet is looked at
const [url, seconds] = [process.argv[2], Number(process.argv[3])];

await withPage(url, async (page) => {
  await page.waitForSelector('#packets [data-id]');
  const watched = await watch(page);
  const heaps = [];
  const keys = (seconds * 1000) / EVERY;
  for (let i = 0; i < keys; i++) {
    if (i % TURN === 0) {
      await press(page, 'l');
      await press(page, 'Enter');
      await page.waitForSelector('#way [aria-current=step]');
    }
    await press(page, i % 2 ? 'ArrowLeft' : 'ArrowRight');
    await page.waitForTimeout(EVERY);
    if (heaps.length < (10 * i) / keys) heaps.push(await watched.heap());
  }
  const { keys: pressed, within } = await watched.answered();
  const rows = await page.$$eval('#packets [data-id]', (list) => list.length);
  console.log(`load: ${rows} rows, ${await page.textContent('#missed')}; heap, MB: ${heaps.map((h) => (h / 1e6).toFixed(1)).join(' ')}; 95 % of ${pressed} keys answered within ${within.toFixed(0)} ms`);
  assert.ok(rows <= 300, `${rows} rows`);
  assert.ok(heaps.at(-1) < heaps[0] + 4e6, `the heap grew: ${heaps}`);
  assert.ok(within < 1000, `95 % of keys answered within ${within} ms`); // 100 is wanted, on a machine with nothing else to do
});
