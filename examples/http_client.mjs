// Upscale a picture by a server of `edgesr serve`: `node http_client.mjs IN OUT [SERVER]`.

/**
 * Returns the upscaled picture as a Blob. `picture` is a Blob or File; `options` as in the API: scale, width, height, fidelity,
 * format, quality, strip_metadata, sharpness. Waits while the server's queue is full; throws an Error with the server's reason.
 */
export async function upscale(picture, options = {}, { server = "http://127.0.0.1:7860", token } = {}) {
  const headers = { "Content-Type": "application/octet-stream", ...(token && { Authorization: `Bearer ${token}` }) };
  for (;;) {
    const answer = await fetch(`${server}/v1/upscale?${new URLSearchParams(options)}`, { method: "POST", headers, body: picture });
    if (answer.ok) return answer.blob();
    if (answer.status !== 429) throw new Error((await answer.json()).detail);
    await new Promise((done) => setTimeout(done, 1000 * answer.headers.get("Retry-After")));
  }
}

if (typeof process !== "undefined" && process.argv[1]?.endsWith("http_client.mjs")) {
  const { readFile, writeFile } = await import("node:fs/promises");
  const [source, target, server] = process.argv.slice(2);
  const format = target.split(".").pop().toLowerCase().replace("jpg", "jpeg");
  try {
    const picture = new Blob([await readFile(source)]);
    const result = await upscale(picture, { format }, { server, token: process.env.EDGESR_TOKEN });
    await writeFile(target, new Uint8Array(await result.arrayBuffer()), { flag: "wx" }); // never overwrites
  } catch (error) {
    console.error(`${source}: ${error.message}`);
    process.exitCode = 1;
  }
}
