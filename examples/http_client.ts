// Upscale a picture by a server of `edgesr serve`: `node http_client.ts IN OUT [SERVER [job]]`, with Node 22.18 or newer.

/** As in the API; the server's defaults apply to what is left out. */
export interface Options {
  scale?: number;
  width?: number; // px, like height
  height?: number;
  fidelity?: number; // 0 to 1, like sharpness
  sharpness?: number;
  format?: "png" | "jpeg" | "webp" | "tiff" | "bmp" | "avif";
  quality?: number; // 1 to 100
  strip_metadata?: boolean;
}

export interface Server {
  address?: string;
  token?: string;
}

/** What the server tells of a job. */
export interface Job {
  id: string;
  state: "waiting" | "running" | "done" | "failed";
  progress: number; // 0 to 1
  seconds_left: number | null;
}

/** Returns the upscaled picture. Waits while the server's queue is full; throws an Error with the server's reason. */
export async function upscale(picture: Blob, options: Options = {}, server: Server = {}): Promise<Blob> {
  for (;;) {
    const answer = await ask(server, `/v1/upscale?${query(options)}`, "POST", picture);
    if (answer.ok) return answer.blob();
    if (answer.status !== 429) throw await refusal(answer);
    await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("Retry-After"))));
  }
}

/** The same as a job, for pictures that take longer than a connection should last. */
export async function upscaleAsJob(
  picture: Blob, options: Options = {}, server: Server = {}, onProgress: (job: Job) => void = () => {},
): Promise<Blob> {
  const accepted = await ask(server, `/v1/jobs?${query(options)}`, "POST", picture);
  if (!accepted.ok) throw await refusal(accepted);
  const { id } = (await accepted.json()) as Job;
  try {
    const events = await ask(server, `/v1/jobs/${id}/events`);
    if (!events.ok) throw await refusal(events);
    const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) { // until the job has ended
      const lines = (text + piece.value).split("\n");
      text = lines.pop()!;
      for (const line of lines) if (line.startsWith("data: ")) onProgress(JSON.parse(line.slice(6)) as Job);
    }
    const result = await ask(server, `/v1/jobs/${id}/result`);
    if (!result.ok) throw await refusal(result);
    return await result.blob();
  } finally {
    await ask(server, `/v1/jobs/${id}`, "DELETE").catch(() => {}); // it would expire by itself
  }
}

async function ask({ address = "http://127.0.0.1:7860", token }: Server, path: string, method = "GET", body?: Blob): Promise<Response> {
  const headers = new Headers();
  if (body) headers.set("Content-Type", "application/octet-stream");
  if (token) headers.set("Authorization", `Bearer ${token}`);
  try {
    return await fetch(`${address}${path}`, { method, headers, body });
  } catch {
    throw new Error(`${address} does not answer`);
  }
}

function query(options: Options): URLSearchParams {
  return new URLSearchParams(Object.entries(options).map(([name, value]) => [name, String(value)]));
}

async function refusal(answer: Response): Promise<Error> {
  return new Error(((await answer.json()) as { detail: string }).detail);
}

async function main([source, target, address, job]: string[]): Promise<void> {
  if (!source || !target) {
    console.error("usage: node http_client.ts IN OUT [SERVER [job]]");
    process.exitCode = 2;
    return;
  }
  try {
    const { readFile, writeFile } = await import("node:fs/promises"); // here, since browsers have none
    const picture = new Blob([await readFile(source)]);
    const options: Options = { format: target.split(".").pop()!.toLowerCase().replace("jpg", "jpeg") as Options["format"] };
    const server: Server = { address, token: process.env.EDGESR_TOKEN };
    const result = job
      ? await upscaleAsJob(picture, options, server, ({ progress }) => console.error(`${Math.round(100 * progress)}%`))
      : await upscale(picture, options, server);
    await writeFile(target, new Uint8Array(await result.arrayBuffer()), { flag: "wx" }); // never overwrites
  } catch (error) {
    console.error(`${source}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}

if (typeof process !== "undefined" && process.argv[1]?.includes("http_client.")) void main(process.argv.slice(2));
