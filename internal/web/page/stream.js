// The one stream of server-sent events, read by fetch so that the token goes in a header. One that
// breaks is said to be broken, and asked for again, from the last event on.

import { ask, said, Refused } from './api.js';

const SILENCE = 40_000; // ms: the program says something every 15 s
const AGAIN = [500, 1000, 2000, 4000, 8000]; // ms between attempts

export class Stream {
  #last = '';
  #ending = null;

  // on(event, data) takes each event; state(word, text) is told how the stream is.
  constructor(on, state) {
    this.on = on;
    this.state = state;
  }

  // listen ends the stream there is, and begins one with a filter.
  listen(filter) {
    this.#ending?.abort();
    const ending = (this.#ending = new AbortController());
    this.#last = '';
    this.#run(filter, ending.signal);
  }

  async #run(filter, ended) {
    for (let attempt = 0; !ended.aborted; attempt++) {
      let why;
      try {
        await this.#read(filter, ended, () => { attempt = 0; });
        why = 'the stream ended';
      } catch (error) {
        if (ended.aborted) return;
        why = said(error);
        if (error instanceof Refused && error.status < 500 && error.status !== 429) {
          this.state('refused', why);
          return;
        }
      }
      const wait = AGAIN[Math.min(attempt, AGAIN.length - 1)];
      this.state('broken', `${why}; trying again`);
      await pause(wait, ended);
    }
  }

  async #read(filter, ended, alive) {
    const silent = new AbortController();
    const headers = { Accept: 'text/event-stream' };
    if (this.#last) headers['Last-Event-ID'] = this.#last;
    const answer = await ask(`/v1/events?filter=${encodeURIComponent(filter)}`, { headers, signal: AbortSignal.any([ended, silent.signal]) });
    alive();
    this.state('live', '');
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const watch = setTimeout(() => silent.abort(new Error('silence')), SILENCE);
      const { value, done } = await reader.read().finally(() => clearTimeout(watch));
      if (done) return;
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop();
      blocks.forEach((block) => this.#event(block));
    }
  }

  #event(block) {
    let name = 'message';
    let data = '';
    for (const line of block.split('\n')) {
      const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
      if (field === 'event') name = value;
      else if (field === 'data') data += value;
      else if (field === 'id') this.#last = value;
    }
    if (data) this.on(name, JSON.parse(data));
  }
}

const pause = (ms, ended) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  ended.addEventListener('abort', () => { clearTimeout(timer); done(); }, { once: true });
});
