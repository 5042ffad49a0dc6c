// Upscale a picture by a server of `edgesr serve`: `node http_client.mjs IN OUT [SERVER [job]]`.

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

/** The same as a job, for pictures that take long: calls `onProgress` with the job's status, such as { progress: 0.4, seconds_left: 12 }. */
export async function upscaleAsJob(picture, options = {}, { server = "http://127.0.0.1:7860", token, onProgress = () => {} } = {}) {
  const ask = async (path, method = "GET", body) => {
    const headers = { ...(body && { "Content-Type": "application/octet-stream" }), ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await fetch(`${server}${path}`, { method, headers, body });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    return answer;
  };
  const { id } = await (await ask(`/v1/jobs?${new URLSearchParams(options)}`, "POST", picture)).json();
  try {
    let text = "";
    const decoder = new TextDecoder();
    for await (const piece of (await ask(`/v1/jobs/${id}/events`)).body) { // they end with the job
      const events = (text + decoder.decode(piece, { stream: true })).split("\n\n");
      text = events.pop();
      for (const event of events) if (event.startsWith("data: ")) onProgress(JSON.parse(event.slice(6)));
    }
    return await (await ask(`/v1/jobs/${id}/result`)).blob();
  } finally {
    await ask(`/v1/jobs/${id}`, "DELETE");
  }
}

if (typeof process !== "undefined" && process.argv[1]?.endsWith("http_client.mjs")) {
  const { readFile, writeFile } = await import("node:fs/promises");
  const [source, target, server, job] = process.argv.slice(2);
  const format = target.split(".").pop().toLowerCase().replace("jpg", "jpeg");
  try {
    const picture = new Blob([await readFile(source)]);
    const onProgress = ({ progress }) => console.error(`${Math.round(100 * progress)}%`);
    const result = await (job ? upscaleAsJob : upscale)(picture, { format }, { server, token: process.env.EDGESR_TOKEN, onProgress });
    await writeFile(target, new Uint8Array(await result.arrayBuffer()), { flag: "wx" }); // never overwrites
  } catch (error) {
    console.error(`${source}: ${error.message}`);
    process.exitCode = 1;
  }
}
