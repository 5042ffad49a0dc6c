/** Before and after in one frame with a divider; shared zoom and pan by pointer, wheel, pinch and keyboard. */

const $ = <T extends HTMLElement>(selector: string) => document.querySelector<T>(selector)!;
const [MIN_ZOOM, MAX_ZOOM] = [0.02, 16];
const GRIP = 28; // px around the divider that move it, not the picture

export class Viewer {
  private readonly area = $("#area");
  private readonly handle = $("#handle");
  private readonly before = $<HTMLImageElement>("#before img");
  private readonly after = $<HTMLImageElement>("#after img");
  private readonly canvas = $<HTMLCanvasElement>("#after canvas");
  private input = ""; // address of the picture that is shown
  private size = { width: 1, height: 1 }; // of the result, px
  private place = { x: 0, y: 0, zoom: 1 };
  private split = 50; // percent of the frame that shows the input
  private fitted = true;
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private onHandle = false;

  constructor() {
    this.area.addEventListener("pointerdown", (event) => this.grab(event));
    this.area.addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel"] as const) {
      this.area.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
    }
    this.area.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = this.area.getBoundingClientRect();
      this.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    this.area.addEventListener("keydown", (event) => this.key(event));
    $("#in").addEventListener("click", () => this.zoomBy(1.25));
    $("#out").addEventListener("click", () => this.zoomBy(0.8));
    $("#fit").addEventListener("click", () => this.fit());
    $("#actual").addEventListener("click", () => this.zoomBy(1 / this.place.zoom));
    new ResizeObserver(() => (this.fitted ? this.fit() : this.draw())).observe(this.area);
  }

  /** Show a picture, `input`, or an earlier result of it, `before`, and its result; until there is one, the preview canvas on top of the blurred picture. */
  show(input: string, before: string, after: string | undefined, preview: HTMLCanvasElement | undefined, size: { width: number; height: number }): void {
    const anew = this.input !== input;
    this.input = input;
    const resized = size.width !== this.size.width || size.height !== this.size.height;
    if (this.before.getAttribute("src") !== before) this.before.src = before;
    if (this.after.getAttribute("src") !== (after ?? input)) this.after.src = after ?? input;
    this.after.classList.toggle("early", !after);
    this.canvas.hidden = Boolean(after) || !preview;
    if (preview && !after) {
      [this.canvas.width, this.canvas.height] = [preview.width, preview.height];
      this.canvas.getContext("2d")!.drawImage(preview, 0, 0);
    }
    this.size = size;
    for (const layer of [this.before, this.after, this.canvas]) {
      layer.style.width = `${size.width}px`;
      layer.style.height = `${size.height}px`;
    }
    if (anew || resized) this.fit();
  }

  /** Draw a tile on the visible canvas. */
  paint(tile: ImageData, left: number, top: number): void {
    if (!this.canvas.hidden) this.canvas.getContext("2d")!.putImageData(tile, left, top);
  }

  private fit(): void {
    const { clientWidth, clientHeight } = this.area;
    const zoom = Math.min(clientWidth / this.size.width, clientHeight / this.size.height, 2);
    this.place = { zoom, x: (clientWidth - this.size.width * zoom) / 2, y: (clientHeight - this.size.height * zoom) / 2 };
    this.fitted = true;
    this.draw();
  }

  private zoomBy(factor: number, x = this.area.clientWidth / 2, y = this.area.clientHeight / 2): void {
    const zoom = Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, this.place.zoom * factor));
    const real = zoom / this.place.zoom;
    this.place = { zoom, x: x - (x - this.place.x) * real, y: y - (y - this.place.y) * real };
    this.fitted = false;
    this.draw();
  }

  private pan(dx: number, dy: number): void {
    this.place.x += dx;
    this.place.y += dy;
    this.fitted = false;
    this.draw();
  }

  private draw(): void {
    const { clientWidth, clientHeight } = this.area;
    const { zoom } = this.place;
    const hold = (at: number, length: number, frame: number) => Math.min(frame - 40, Math.max(40 - length * zoom, at));
    this.place.x = hold(this.place.x, this.size.width, clientWidth);
    this.place.y = hold(this.place.y, this.size.height, clientHeight);
    const transform = `translate(${this.place.x}px, ${this.place.y}px) scale(${zoom})`;
    for (const layer of [this.before, this.after, this.canvas]) layer.style.transform = transform;
    $("#after").style.clipPath = `inset(0 0 0 ${this.split}%)`;
    $("#before").style.clipPath = `inset(0 ${100 - this.split}% 0 0)`;
    this.handle.style.left = `${this.split}%`;
    this.handle.setAttribute("aria-valuenow", String(Math.round(this.split)));
    $("#zoom").textContent = `${Math.round(zoom * 100)}%`;
  }

  private grab(event: PointerEvent): void {
    if ((event.target as HTMLElement).closest("#busy")) return;
    this.area.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const box = this.area.getBoundingClientRect();
    this.onHandle = this.pointers.size === 1 && Math.abs(event.clientX - box.left - (box.width * this.split) / 100) < GRIP;
  }

  private drag(event: PointerEvent): void {
    const old = this.pointers.get(event.pointerId);
    if (!old) return;
    const now = { x: event.clientX, y: event.clientY };
    const box = this.area.getBoundingClientRect();
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      const reach = (point: { x: number; y: number }) => Math.hypot(point.x - other!.x, point.y - other!.y) || 1;
      this.zoomBy(reach(now) / reach(old), (now.x + other!.x) / 2 - box.left, (now.y + other!.y) / 2 - box.top);
      this.pan((now.x - old.x) / 2, (now.y - old.y) / 2);
    } else if (this.onHandle) this.moveHandle(((now.x - box.left) / box.width) * 100);
    else this.pan(now.x - old.x, now.y - old.y);
    this.pointers.set(event.pointerId, now);
  }

  private key(event: KeyboardEvent): void {
    const step = event.shiftKey ? 10 : 2;
    const onHandle = event.target === this.handle;
    const actions: Record<string, () => void> = {
      "+": () => this.zoomBy(1.25),
      "=": () => this.zoomBy(1.25),
      "-": () => this.zoomBy(0.8),
      "0": () => this.fit(),
      ArrowLeft: () => (onHandle ? this.moveHandle(this.split - step) : this.pan(40, 0)),
      ArrowRight: () => (onHandle ? this.moveHandle(this.split + step) : this.pan(-40, 0)),
      ArrowUp: () => (onHandle ? this.moveHandle(this.split + step) : this.pan(0, 40)),
      ArrowDown: () => (onHandle ? this.moveHandle(this.split - step) : this.pan(0, -40)),
      Home: () => this.moveHandle(0),
      End: () => this.moveHandle(100),
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }

  private moveHandle(percent: number): void {
    this.split = Math.min(100, Math.max(0, percent));
    this.draw();
  }
}
