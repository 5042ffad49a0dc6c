/** What the page has to know of the model `tiny`; a test holds these figures to those of `edgesr.presets`. */

export const MODEL = { name: "tiny", scale: 4, halo: 56, multiple: 4, latentChannels: 16, latentStride: 2 } as const;

/** LR px a window at most, as in `edgesr.upscaling.upscaler`: about 300 MB of activations. Exact tiles give the same result with less. */
export const WINDOW_PIXELS = 512 * 512;
export const MIN_SCALE = 1;
export const MAX_SCALE = 8;
