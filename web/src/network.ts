/** onnxruntime-web behind one function: WebGPU if it works, else WASM; if the graphics device is lost, WASM continues. */

import type * as Ort from "onnxruntime-web";
import { interpolate } from "./core/forms";
import { MODEL, modelFiles } from "./core/model";
import type { Network } from "./core/upscale";
import type { Backend } from "./messages";

export class OutOfMemory extends Error {}

export class Engine {
  backend: Backend = "wasm";
  note: string | undefined;
  private ort: typeof Ort | undefined;
  private session: Ort.InferenceSession | undefined;
  private form = { fidelity: 0, fast: false }; // of the session
  private readonly files = new Map<string, ArrayBuffer>();
  private loaded = 0; // bytes

  constructor(
    private readonly base: string, // address of the page's folder
    readonly threads: number,
    private readonly changed: () => void, // called when the backend has changed
    private readonly loading: (bytes: number) => void, // called with all bytes loaded so far
  ) {}

  /** Load runtime and model before the first picture. The 8-bit model runs with WASM alone: WebGPU has no kernels for it. */
  async load(wanted: Backend | "auto", fast: boolean): Promise<void> {
    this.form.fast = fast;
    await this.file(modelFiles(0, fast)[0]!);
    if (!fast && wanted !== "wasm" && (await hasGraphics(wanted === "webgpu"))) {
      try {
        await this.start("webgpu");
        return;
      } catch (error) {
        this.note = `WebGPU is not available (${oneLine(error)}); using WASM`;
      }
    }
    await this.start("wasm");
  }

  /** The network at this fidelity; `fast`: in 8 bits. */
  async network(fidelity: number, fast: boolean): Promise<Network> {
    const form = { fidelity, fast };
    if (fast && this.backend === "webgpu") {
      await this.start("wasm", form);
      this.changed();
    } else if (fidelity !== this.form.fidelity || fast !== this.form.fast) await this.build(form);
    return (lr, eps, height, width) => this.evaluate(lr, eps, height, width);
  }

  private async start(backend: Backend, form = this.form): Promise<void> {
    this.backend = backend;
    const jspi = "Suspending" in WebAssembly;
    const [api, runtime] =
      backend === "wasm" ? ["ort.wasm.min.mjs", "ort-wasm-simd-threaded"]
      : jspi ? ["ort.jspi.min.mjs", "ort-wasm-simd-threaded.jspi"]
      : ["ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify"];
    this.ort = (await import(/* @vite-ignore */ `${this.base}ort/${api}`)) as typeof Ort;
    this.ort.env.logLevel = "error";
    this.ort.env.wasm.numThreads = backend === "wasm" ? this.threads : 1;
    this.ort.env.wasm.wasmPaths = { mjs: `${this.base}ort/${runtime}.mjs` };
    this.ort.env.wasm.wasmBinary = await this.bytes(`ort/${runtime}.wasm`);
    await this.build(form);
  }

  private async build(form: { fidelity: number; fast: boolean }): Promise<void> {
    const { fidelity, fast } = form;
    const [model, difference] = await Promise.all(modelFiles(fidelity, fast).map((name) => this.file(name)));
    const bytes = difference ? await interpolate(model!, difference, fidelity) : new Uint8Array(model!);
    await this.session?.release();
    this.session = undefined;
    this.session = await this.ort!.InferenceSession.create(bytes, {
      executionProviders: [this.backend], graphOptimizationLevel: "all", enableMemPattern: false,
    });
    this.form = form;
  }

  private async evaluate(lr: Float32Array, eps: Float32Array, height: number, width: number): Promise<Float32Array> {
    try {
      return await this.run(lr, eps, height, width);
    } catch (error) {
      if (this.backend !== "webgpu") throw named(error);
      this.note = `WebGPU failed (${oneLine(error)}); continuing with WASM`;
      this.session = undefined; // a session on a lost device cannot be released
      await this.start("wasm");
      this.changed();
      return this.run(lr, eps, height, width);
    }
  }

  private async run(lr: Float32Array, eps: Float32Array, height: number, width: number): Promise<Float32Array> {
    const { Tensor } = this.ort!;
    const { latentChannels, latentStride } = MODEL;
    const result = await this.session!.run({
      lr: new Tensor("float32", lr, [1, 3, height, width]),
      eps: new Tensor("float32", eps, [1, latentChannels, height / latentStride, width / latentStride]),
    });
    const hr = result["hr"]!;
    const data = (await hr.getData(true)) as Float32Array;
    return data;
  }

  private async file(name: string): Promise<ArrayBuffer> {
    const file = this.files.get(name) ?? (await this.bytes(`model/${name}`));
    this.files.set(name, file);
    return file;
  }

  private async bytes(path: string): Promise<ArrayBuffer> {
    const response = await fetch(`${this.base}${path}`);
    if (!response.ok) throw new Error(`cannot load ${path} (HTTP ${response.status})`);
    const count = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, out) => {
        this.loading((this.loaded += chunk.byteLength));
        out.enqueue(chunk);
      },
    });
    return new Response(response.body!.pipeThrough(count)).arrayBuffer();
  }
}

/** Whether there is a suitable graphics adapter; software adapters are slower than WASM. */
async function hasGraphics(evenSoftware: boolean): Promise<boolean> {
  try {
    const adapter = await (navigator as { gpu?: { requestAdapter(): Promise<GraphicsAdapter | null> } }).gpu?.requestAdapter();
    const info = adapter?.info;
    const software = info?.isFallbackAdapter ?? adapter?.isFallbackAdapter ?? false;
    return adapter != null && (evenSoftware || !(software || /swiftshader|llvmpipe/i.test(`${info?.architecture} ${info?.device}`)));
  } catch {
    return false;
  }
}

interface GraphicsAdapter {
  isFallbackAdapter?: boolean;
  info?: { isFallbackAdapter?: boolean; architecture?: string; device?: string };
}

function named(error: unknown): Error {
  const text = oneLine(error);
  if (/alloc|memory|out of bounds|Aborted|RangeError/i.test(text)) return new OutOfMemory(text);
  return error instanceof Error ? error : new Error(text);
}

export function oneLine(error: unknown): string {
  const text = error instanceof Error ? `${error.name === "Error" ? "" : `${error.name}: `}${error.message}` : String(error);
  return text.replace(/\s+/g, " ").slice(0, 200);
}
