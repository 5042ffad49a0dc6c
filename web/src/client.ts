/** The page's interface to the worker: one job at a time. A worker that crashes or runs out of memory is replaced. */

import { WINDOW_PIXELS } from "./core/model";
import type { Backend, FromWorker, Job, ToWorker } from "./messages";

const SMALLER_WINDOWS = [WINDOW_PIXELS, 256 * 256, 192 * 192]; // LR px; tried in this order if memory is short
const PATIENCE = 600; // milliseconds for a worker to react to a cancellation

export type Outcome = Extract<FromWorker, { kind: "done" }> | Extract<FromWorker, { kind: "failed" }>;
export type Report = Extract<FromWorker, { kind: "opened" | "tile" | "progress" }>;

export class Client {
  private worker = this.spawn();
  private current: { job: Omit<Job, "windowPixels">; attempt: number; report: (report: Report) => void; settle: (outcome: Outcome) => void } | undefined;

  constructor(
    private readonly options: { backend: Backend | "auto"; threads: number },
    private readonly status: (status: Extract<FromWorker, { kind: "ready" | "broken" }>) => void,
  ) {}

  /** Upscale one picture; never rejects. */
  run(job: Omit<Job, "windowPixels">, report: (report: Report) => void): Promise<Outcome> {
    return new Promise((settle) => {
      this.current = { job, attempt: 0, report, settle };
      this.send();
    });
  }

  /** Cancel the current picture; its `run` resolves as cancelled immediately. */
  cancel(): void {
    const stopped = this.current;
    if (!stopped) return;
    const { id } = stopped.job;
    const worker = this.worker;
    this.post({ kind: "cancel", id });
    const timer = setTimeout(() => {
      if (worker !== this.worker) return;
      this.replace(); // it is still computing a large window
      if (this.current) queueMicrotask(() => this.send()); // the next picture was waiting for that window
    }, PATIENCE);
    const obeyed = ({ data }: MessageEvent<FromWorker>) => {
      if ((data.kind === "failed" || data.kind === "done") && data.id === id) clearTimeout(timer);
    };
    worker.addEventListener("message", obeyed);
    this.finish({ kind: "failed", id, failure: "cancelled", reason: "cancelled" });
  }

  private send(): void {
    const { job, attempt } = this.current!;
    this.post({ kind: "run", job: { ...job, windowPixels: SMALLER_WINDOWS[attempt]! } });
  }

  private spawn(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => worker === this.worker && this.receive(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      if (worker === this.worker) this.retry(event.message || "the worker crashed");
    });
    queueMicrotask(() => this.post({ kind: "load", ...this.options, base: new URL("./", document.baseURI).href }));
    return worker;
  }

  private replace(): void {
    this.worker.terminate();
    this.worker = this.spawn();
  }

  private receive(message: FromWorker): void {
    if (message.kind === "ready" || message.kind === "broken") {
      this.status(message);
      if (message.kind === "broken" && this.current) {
        this.finish({ kind: "failed", id: this.current.job.id, failure: "defect", reason: message.reason });
      }
      return;
    }
    if (message.id !== this.current?.job.id) return; // of a picture that was cancelled
    if (message.kind === "failed" && message.failure === "memory") this.retry(message.reason);
    else if (message.kind === "failed" || message.kind === "done") this.finish(message);
    else this.current.report(message);
  }

  /** After a crash, usually for lack of memory: start a new worker with smaller tiles, which give the same result. */
  private retry(reason: string): void {
    this.replace();
    if (!this.current) return;
    this.current.attempt++;
    if (this.current.attempt < SMALLER_WINDOWS.length) queueMicrotask(() => this.current && this.send());
    else {
      const text = `not enough memory in this browser (${reason}): close other tabs, choose a lower scale, or use the command edgesr upscale`;
      this.finish({ kind: "failed", id: this.current.job.id, failure: "memory", reason: text });
    }
  }

  private finish(outcome: Outcome): void {
    const { settle } = this.current!;
    this.current = undefined;
    settle(outcome);
  }

  private post(message: ToWorker): void {
    this.worker.postMessage(message);
  }
}
