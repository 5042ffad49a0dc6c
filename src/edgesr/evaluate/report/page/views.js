/* Frames that show the same part of one picture at the same scale: who moves one moves all. */

const WIDER = Math.SQRT2;
const LARGEST = 16; // screen px a picture px
const PIXELS = 2; // from this scale on, pixels are drawn as squares

class Views {
  #frames = [];
  #pointers = new Map();
  #resized = new ResizeObserver(() => (this.fitted ? this.fit() : this.#render()));

  /** `main` is the frame that a picture is fitted into; `moved(views)` is called after each move. */
  constructor(main, moved) {
    this.main = main;
    this.moved = moved;
    this.#resized.observe(main);
    this.#listen(main);
    this.picture(1, 1);
  }

  /** The other frames; those of before are let go. */
  set others(frames) {
    this.#frames = frames;
    frames.forEach((frame) => this.#listen(frame));
    this.#render();
  }

  /** Show a picture of this size, all of it. */
  picture(width, height) {
    [this.width, this.height] = [width, height];
    this.fit();
  }

  fit() {
    this.fitted = true;
    this.scale = this.#fitting();
    [this.x, this.y] = [this.width / 2, this.height / 2];
    this.#render();
  }

  /** Change the scale by a factor; the point of the picture under (right, down), screen px from the centre, stays. */
  zoom(factor, right = 0, down = 0) {
    const scale = Math.max(this.#fitting(), Math.min(LARGEST, this.scale * factor));
    this.fitted = scale === this.#fitting();
    this.x += right / this.scale - right / scale;
    this.y += down / this.scale - down / scale;
    this.scale = scale;
    this.#render();
  }

  /** Move the picture by screen px. */
  pan(right, down) {
    this.x -= right / this.scale;
    this.y -= down / this.scale;
    this.#render();
  }

  key(event) {
    const step = 0.1 * this.main.clientWidth;
    const moves = {
      ArrowLeft: () => this.pan(step, 0), ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step), ArrowDown: () => this.pan(0, -step),
      "+": () => this.zoom(WIDER), "=": () => this.zoom(WIDER), "-": () => this.zoom(1 / WIDER), 0: () => this.fit(),
    };
    if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    moves[event.key]();
  }

  #fitting() {
    return Math.min(this.main.clientWidth / this.width, this.main.clientHeight / this.height) || 1;
  }

  #listen(frame) {
    frame.addEventListener("keydown", (event) => event.target === frame && this.key(event));
    frame.addEventListener("dblclick", (event) => this.zoom(2, ...this.#fromCentre(frame, event)));
    frame.addEventListener("wheel", (event) => this.#wheel(frame, event), { passive: false });
    frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      frame.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, event);
    });
    frame.addEventListener("pointermove", (event) => this.#pointers.has(event.pointerId) && this.#drag(frame, event));
    for (const end of ["pointerup", "pointercancel"]) {
      frame.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
  }

  /** Ctrl and the wheel, which is also what a pinch on a touch pad sends; the wheel alone scrolls the page. */
  #wheel(frame, event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoom(2 ** (-event.deltaY / 200), ...this.#fromCentre(frame, event));
  }

  /** One pointer pans; two pan and pinch. */
  #drag(frame, event) {
    const before = this.#pointers.get(event.pointerId);
    const other = [...this.#pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
    const fingers = other ? 2 : 1;
    this.pan((event.clientX - before.clientX) / fingers, (event.clientY - before.clientY) / fingers);
    if (other) {
      const apart = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY) || 1;
      this.zoom(apart(event) / apart(before), ...this.#fromCentre(frame, other));
    }
    this.#pointers.set(event.pointerId, event);
  }

  #fromCentre(frame, event) {
    const box = frame.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  }

  /** Keep the main frame full of picture where the picture is larger than it. */
  #clamp(centre, size, frame) {
    const half = frame / 2 / this.scale;
    return size <= 2 * half ? size / 2 : Math.min(size - half, Math.max(half, centre));
  }

  #render() {
    this.x = this.#clamp(this.x, this.width, this.main.clientWidth);
    this.y = this.#clamp(this.y, this.height, this.main.clientHeight);
    for (const frame of [this.main, ...this.#frames]) {
      const left = frame.clientWidth / 2 - this.x * this.scale;
      const top = frame.clientHeight / 2 - this.y * this.scale;
      frame.classList.toggle("squares", this.scale >= PIXELS);
      frame.classList.toggle("zoomed", !this.fitted);
      for (const picture of frame.querySelectorAll("img")) {
        picture.style.width = `${this.width}px`;
        picture.style.height = `${this.height}px`;
        picture.style.transform = `translate(${left}px, ${top}px) scale(${this.scale})`;
      }
    }
    this.moved(this);
  }
}
