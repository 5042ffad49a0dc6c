/** What a result keeps of its source file's metadata, and the formats that it may be written in. */

import type { Bytes } from "./bytes";

export type OutputFormat = "PNG" | "JPEG" | "WEBP";

export interface Kept {
  exif?: Bytes;
  icc?: Bytes;
  xmp?: Bytes;
  pngChunks: Bytes[];
}
