/** The messages between the page and its worker. */

import type { WantedSize } from "./core/numbers";
import type { OutputFormat } from "./files/kept";

export type Backend = "webgpu" | "wasm";

export interface Settings extends WantedSize {
  fidelity: number; // 0 for crisp to 1 for faithful to the input
  fast: boolean; // with the 8-bit model
  sharpness: number | undefined; // 0 (off) to 1, of an unsharp mask on the result; else the default
  format: OutputFormat | "SAME";
  quality?: number | undefined; // 1 to 100, of JPEG and WebP; else the format's own
  strip: boolean; // remove EXIF, XMP and text
  onServer: boolean; // by the server behind the page, not by the browser
}

export interface Job {
  id: number;
  file: File;
  settings: Settings;
  windowPixels: number; // LR px
}

export type ToWorker =
  | { kind: "load"; backend: Backend | "auto"; threads: number; fast: boolean; base: string }
  | { kind: "run"; job: Job }
  | { kind: "cancel"; id: number };

export type Failure = "input" | "memory" | "cancelled" | "defect";

export type FromWorker =
  | { kind: "loading"; bytes: number } // so far, of model and runtime
  | { kind: "ready"; backend: Backend; threads: number; note?: string | undefined }
  | { kind: "broken"; reason: string }
  | { kind: "opened"; id: number; width: number; height: number; outWidth: number; outHeight: number }
  | { kind: "tile"; id: number; data: Uint8ClampedArray<ArrayBuffer>; width: number; height: number; left: number; top: number; scale: number }
  | { kind: "progress"; id: number; done: number; total: number }
  | { kind: "done"; id: number; blob: Blob; notes: string[]; milliseconds: number }
  | { kind: "failed"; id: number; failure: Failure; reason: string };
