/**
 * Interpolation between the two forms of the model, as `edgesr.upscaling.forms`: half-precision differences (an .npz file) are added to
 * the weights in the bytes of the ONNX file. Both files are those of the Python package.
 */

/** The ONNX file with `fidelity` (0 to 1) times the difference added; throws if the two files do not belong together. */
export async function interpolate(model: ArrayBuffer, difference: ArrayBuffer, fidelity: number): Promise<Uint8Array> {
  const arrays = readNpz(difference);
  const blocks = arrays.get("blocks");
  const values = arrays.get("values");
  if (blocks?.type !== "<i8" || values?.type !== "<f2") throw new Error("the file of the model's second form is damaged");
  await checkSum(model, arrays.get("sha256"));
  const patched = new Uint8Array(model.slice(0));
  const view = new DataView(patched.buffer);
  const runs = new DataView(blocks.data.buffer, blocks.data.byteOffset, blocks.data.byteLength);
  const halves = new DataView(values.data.buffer, values.data.byteOffset, values.data.byteLength);
  const factor = Math.fround(fidelity);
  let next = 0;
  for (let run = 0; run < blocks.data.byteLength; run += 16) {
    const offset = Number(runs.getBigInt64(run, true));
    const count = Number(runs.getBigInt64(run + 8, true));
    for (let at = offset; at < offset + 4 * count; at += 4, next += 2) {
      const change = Math.fround(factor * halfToNumber(halves.getUint16(next, true)));
      view.setFloat32(at, view.getFloat32(at, true) + change, true);
    }
  }
  return patched;
}

async function checkSum(model: ArrayBuffer, stated: NpyArray | undefined): Promise<void> {
  if (!globalThis.crypto?.subtle || !stated) return; // absent outside of secure contexts
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", model));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const text = new TextDecoder().decode(stated.data).replaceAll("\0", ""); // numpy's UTF-32 of ASCII
  if (text !== hex) throw new Error("the two files of the model do not belong together: build the page again");
}

interface NpyArray {
  type: string;
  data: Uint8Array;
}

/** The arrays of an uncompressed .npz file, as `numpy.savez` writes it. */
export function readNpz(file: ArrayBuffer): Map<string, NpyArray> {
  const view = new DataView(file);
  const arrays = new Map<string, NpyArray>();
  let end = file.byteLength - 22; // of the record that ends a zip without comment
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Error("the file of the model's second form is not an .npz file");
  let entry = view.getUint32(end + 16, true);
  for (let i = view.getUint16(end + 10, true); i > 0; i--) {
    if (view.getUint16(entry + 10, true) !== 0) throw new Error("the file of the model's second form is compressed");
    const size = view.getUint32(entry + 20, true);
    const [name, extra, comment] = [28, 30, 32].map((at) => view.getUint16(entry + at, true)) as [number, number, number];
    const local = view.getUint32(entry + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const key = new TextDecoder().decode(new Uint8Array(file, entry + 46, name));
    arrays.set(key.replace(/\.npy$/, ""), readNpy(new Uint8Array(file, start, size)));
    entry += 46 + name + extra + comment;
  }
  return arrays;
}

function readNpy(bytes: Uint8Array): NpyArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = bytes[6]! >= 2;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = long ? 12 : 10;
  const head = new TextDecoder().decode(bytes.subarray(start, start + length));
  return { type: /'descr': '([^']+)'/.exec(head)?.[1] ?? "", data: bytes.slice(start + length) };
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
