/** Properties of the model `tiny`; a test compares them with `edgesr.presets`. */

export const MODEL = { name: "tiny", scale: 4, halo: 56, multiple: 4, latentChannels: 16, latentStride: 2 } as const;

/** LR px, maximum of a window, as in `edgesr.upscaling.upscaler`: about 300 MB of activations. Smaller tiles give the same result. */
export const WINDOW_PIXELS = 512 * 512;
export const MIN_SCALE = 1;
export const MAX_SCALE = 8;
