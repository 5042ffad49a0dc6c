/** The page's interface to the worker: one job at a time. A worker that does not start, crashes or runs out of memory is replaced. */

import { WINDOW_PIXELS } from "./core/model";
import type { Backend, FromWorker, Job, ToWorker } from "./messages";

const SMALLER_WINDOWS = [WINDOW_PIXELS, 256 * 256, 192 * 192]; // LR px; tried in this order if memory is short
const PATIENCE = 600; // milliseconds for a worker to react to a cancellation
const RESTART_DELAYS = [500, 3000]; // milliseconds before each further attempt to start; the last attempt only asks for WASM on one thread

export type Outcome = Extract<FromWorker, { kind: "done" }> | Extract<FromWorker, { kind: "failed" }>;
export type Status = Extract<FromWorker, { kind: "loading" | "ready" | "broken" }>;
export type Report = Extract<FromWorker, { kind: "opened" | "tile" | "progress" }>;

export interface ClientOptions {
  backend: Backend | "auto";
  threads: number;
  fast: boolean; // the model that is loaded before the first picture
  patience: number; // milliseconds without a message after which a start has failed
}

export class Client {
  private worker: Worker;
  private state: "starting" | "ready" | "broken" = "starting";
  private failedStarts = 0;
  private reason = ""; // of the last failed start
  private alarm: ReturnType<typeof setTimeout> | undefined;
  private current: { job: Omit<Job, "windowPixels">; attempt: number; report: (report: Report) => void; settle: (outcome: Outcome) => void } | undefined;

  constructor(
    private readonly options: ClientOptions,
    private readonly status: (status: Status) => void,
  ) {
    this.worker = this.spawn();
  }

  /** Start again after the status "broken". */
  startAgain(): void {
    this.failedStarts = 0;
    this.replace();
  }

  /** Upscale one picture; never rejects. */
  run(job: Omit<Job, "windowPixels">, report: (report: Report) => void): Promise<Outcome> {
    return new Promise((settle) => {
      this.current = { job, attempt: 0, report, settle };
      if (this.state === "broken") this.failCurrent();
      else this.send();
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
      if (this.current) this.send(); // the next picture was waiting for that window
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
    const { backend, threads } = this.isLastStart() ? { backend: "wasm" as const, threads: 1 } : this.options;
    worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => worker === this.worker && this.receive(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      if (worker !== this.worker) return;
      const reason = event.message || "the worker crashed, or its file could not be loaded";
      if (this.state === "ready") this.retry(reason);
      else this.startFailed(reason);
    });
    worker.postMessage({ kind: "load", backend, threads, fast: this.options.fast, base: new URL("./", document.baseURI).href } satisfies ToWorker);
    this.state = "starting";
    this.expectMessage();
    return worker;
  }

  private replace(): void {
    this.worker.terminate();
    this.worker = this.spawn();
  }

  private isLastStart(): boolean {
    return this.failedStarts >= RESTART_DELAYS.length;
  }

  private expectMessage(): void {
    clearTimeout(this.alarm);
    this.alarm = setTimeout(() => {
      const reason = `no response for ${Math.round(this.options.patience / 1000)} s`;
      this.failedStarts = Math.max(this.failedStarts, RESTART_DELAYS.length - 1); // it would only hang again with the same options
      this.startFailed(reason);
    }, this.options.patience);
  }

  /** Start again after a delay; after the last attempt report it. A worker that is only late may still become ready. */
  private startFailed(reason: string): void {
    clearTimeout(this.alarm);
    this.reason = reason;
    const delay = RESTART_DELAYS[this.failedStarts++];
    if (delay === undefined) {
      this.state = "broken";
      this.status({ kind: "broken", reason });
      this.failCurrent();
      return;
    }
    this.worker.terminate();
    this.alarm = setTimeout(() => {
      this.replace();
      if (this.current) this.send();
    }, delay);
  }

  private failCurrent(): void {
    if (this.current) this.finish({ kind: "failed", id: this.current.job.id, failure: "defect", reason: `the model did not start: ${this.reason}` });
  }

  private receive(message: FromWorker): void {
    if (message.kind === "loading") {
      if (this.state !== "starting") return; // a further file, for a picture
      this.expectMessage();
      this.status(message);
      return;
    }
    if (message.kind === "broken") {
      this.startFailed(message.reason);
      return;
    }
    if (message.kind === "ready") {
      clearTimeout(this.alarm);
      this.state = "ready";
      const careful = this.isLastStart() ? `one thread, because the start failed before (${this.reason})` : undefined;
      this.status({ ...message, note: message.note ?? careful });
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
    if (this.current.attempt < SMALLER_WINDOWS.length) this.send();
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
