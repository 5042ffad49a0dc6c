/** Properties of the model `tiny`; a test compares them with `edgesr.presets`. */

export const MODEL = { name: "tiny", scale: 4, halo: 56, multiple: 4, latentChannels: 16, latentStride: 2 } as const;

/** LR px, maximum of a window, as in `edgesr.upscaling.upscaler`: about 300 MB of activations. Smaller tiles give the same result. */
export const WINDOW_PIXELS = 512 * 512;
export const MIN_SCALE = 1;
export const MAX_SCALE = 8;

/** Whether the 8-bit model has this fidelity: it cannot be interpolated. */
export const hasFast = (fidelity: number) => fidelity === 0 || fidelity === 1;

/** The files of the model at this fidelity, 0 to 1; `fast`: the 8-bit one, where there is one. The second of two is the first one's difference. */
export function modelFiles(fidelity: number, fast: boolean): string[] {
  if (fast && hasFast(fidelity)) return [`${MODEL.name}${fidelity ? "-fidelity" : ""}-int8.onnx`];
  return [`${MODEL.name}.onnx`, ...(fidelity > 0 ? [`${MODEL.name}-fidelity.npz`] : [])];
}
