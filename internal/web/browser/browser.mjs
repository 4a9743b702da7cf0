// A browser with the page in it, and what the tests ask of it. Whatever the console says is a failure:
// an error, or what the Content-Security-Policy refused.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { chromium } = createRequire(import.meta.url)('playwright-core'); // from NODE_PATH
const PATIENCE = 20_000; // ms, for what is to come about

// withPage opens a page at a URL, lets a function use it, and wants that nobody complained.
export async function withPage(url, use, options = {}) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage', '--enable-precise-memory-info'] });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, ...options });
    page.setDefaultTimeout(PATIENCE);
    const complaints = [];
    page.expected = []; // of complaints, what a test provokes
    page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) complaints.push(m.text()); });
    page.on('pageerror', (e) => complaints.push(String(e)));
    page.on('request', (r) => { if (!/^(http:\/\/127\.0\.0\.1:\d+\/|blob:|data:)/.test(r.url())) complaints.push(`asks elsewhere: ${r.url()}`); });
    await page.goto(url);
    await page.waitForSelector('#status[data-state=live]');
    await use(page);
    assert.deepEqual(complaints.filter((c) => !page.expected.some((e) => e.test(c))), [], 'the console is silent');
  } finally {
    await browser.close();
  }
}

// steps are those of the way that is shown, as the page has them.
export const steps = (page) => page.$$eval('#way [data-step]', (list) => list.map((e) => `${e.dataset.step} ${e.dataset.verdict}`));

// current is the number of the current step, from 0; there is to be just one.
export const current = (page) => page.$$eval('#way [data-step]', (list) => {
  const at = list.flatMap((e, i) => (e.getAttribute('aria-current') === 'step' ? [i] : []));
  return at.length === 1 ? at[0] : at;
});

// isRed says whether an element's text is more red than anything else.
export const isRed = (locator) => locator.evaluate((e) => {
  const color = getComputedStyle(e)[e.namespaceURI.endsWith('svg') ? 'fill' : 'color'];
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
  return r > g + 60 && r > b + 60;
});

// press presses a key so many times.
export async function press(page, key, times = 1) {
  for (let i = 0; i < times; i++) await page.keyboard.press(key);
}

// watch measures a page: its heap in bytes, and within how many ms 95 % of the keys since then were answered by a frame.
export async function watch(page) {
  const devtools = await page.context().newCDPSession(page);
  await page.evaluate(() => {
    window.answers = [];
    document.addEventListener('keydown', (e) => requestAnimationFrame(() => setTimeout(() => window.answers.push(performance.now() - e.timeStamp))), true);
  });
  return {
    async heap() {
      await devtools.send('HeapProfiler.collectGarbage');
      return (await devtools.send('Runtime.getHeapUsage')).usedSize;
    },
    async answered() {
      const list = (await page.evaluate(() => window.answers)).sort((a, b) => a - b);
      return { keys: list.length, within: list[Math.floor(list.length * 0.95)] };
    },
  };
}

// eventually waits until a function says yes.
export async function eventually(what, yes) {
  for (const end = Date.now() + PATIENCE; Date.now() < end;) {
    if (await yes()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(`not within ${PATIENCE / 1000} s: ${what}`);
}

// picture takes one of the page for the documentation, where that is wanted.
export async function picture(page, name) {
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/${name}.png`, animations: 'disabled' });
}
