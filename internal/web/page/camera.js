// How near one looks at the picture. A large network is too small to read beside a packet's way: once one
// steps along it, the picture shows the host where the packet is, until z says otherwise.

const READABLE = 0.62; // pixels for a unit of the picture, from which on all of it is shown
const AROUND = 46; // units around a host
const MOVE = 300; // ms

const calm = matchMedia('(prefers-reduced-motion: reduce)');

export class Camera {
  #moving = 0;
  #wish = null; // near: true or false, as somebody has said
  #box = null; // of the last step

  constructor(root, { width, height }) {
    this.root = root;
    this.all = [0, 0, width, height];
  }

  // whole shows all of it.
  whole() {
    this.#box = null;
    this.#move(this.all);
  }

  // step shows where a step is, if one looks near; the first step of all is seen from afar.
  step(stop, hosts) {
    const boxes = [stop.packet.host, stop.first && stop.packet.from].map((name) => hosts.find((h) => h.name === name)).filter(Boolean);
    if (boxes.length === 0) return;
    const left = Math.min(...boxes.map((b) => b.x)) - AROUND;
    const top = Math.min(...boxes.map((b) => b.y)) - AROUND;
    const right = Math.max(...boxes.map((b) => b.x + b.width)) + AROUND;
    const bottom = Math.max(...boxes.map((b) => b.y + b.height)) + AROUND;
    this.#box = [left, top, right - left, bottom - top];
    this.#look(stop.number > 0);
  }

  // toggle looks near, or at all of it.
  toggle() {
    this.#wish = !this.#isNear();
    this.#look(true);
  }

  #isNear() {
    if (this.#wish !== null) return this.#wish;
    const { clientWidth, clientHeight } = this.root;
    return Math.min(clientWidth / this.all[2], clientHeight / this.all[3]) < READABLE;
  }

  #look(stepped) {
    this.#move(this.#box && stepped && this.#isNear() ? this.#box : this.all);
  }

  #move(to) {
    cancelAnimationFrame(this.#moving);
    const from = this.root.getAttribute('viewBox').split(' ').map(Number);
    const put = (box) => this.root.setAttribute('viewBox', box.join(' '));
    if (calm.matches) {
      put(to);
      return;
    }
    const begin = performance.now();
    const frame = (now) => {
      const part = Math.min(1, Math.max(0, (now - begin) / MOVE));
      const smooth = part * part * (3 - 2 * part);
      put(from.map((v, i) => v + (to[i] - v) * smooth));
      if (part < 1) this.#moving = requestAnimationFrame(frame);
    };
    if (from.some((v, i) => v !== to[i])) this.#moving = requestAnimationFrame(frame);
  }
}
