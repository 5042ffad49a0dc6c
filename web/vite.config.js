// Builds the page into the Python package: `npm --prefix web ci && npm --prefix web run build`.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { defineConfig } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));
const page = join(here, "../src/edgesr/serve/page");
const out = `${page}.new`; // takes the page's place when it is complete: a server may be serving the page meanwhile
const runtime = join(here, "node_modules/onnxruntime-web/dist");
const RUNTIME_FILES = [
  ...["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"],
  ...["ort.jspi.min.mjs", "ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm"],
  ...["ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"],
];
const CHOSEN = /jspi|webgpu|asyncify|int8/; // cached for offline use after they were used
const COMPRESSED = /\.(html|js|mjs|css|wasm|svg|txt|webmanifest)$/;

/** Copies model, runtime and examples, lists the files for the service worker's cache, and puts the page in its place. */
function copies() {
  return {
    name: "copies",
    closeBundle() {
      mkdirSync(join(out, "ort"), { recursive: true });
      for (const name of RUNTIME_FILES) cpSync(join(runtime, name), join(out, "ort", name));
      for (const name of ["tiny.onnx", "tiny-fidelity.npz", "tiny-int8.onnx", "tiny-fidelity-int8.onnx"]) {
        cpSync(join(here, "../src/edgesr/weights", name), join(out, "model", name));
      }
      for (const name of ["cat", "coffee", "astronaut"]) {
        cpSync(join(here, `../examples/${name}.jpg`), join(out, `examples/${name}.jpg`));
      }
      const files = filesIn(out).filter((name) => name !== "sw.js" && !name.endsWith(".map"));
      const version = createHash("sha256");
      for (const name of files) version.update(name).update(readFileSync(join(out, name)));
      const kept = files.filter((name) => !CHOSEN.test(name));
      const worker = readFileSync(join(out, "sw.js"), "utf8")
        .replace("__VERSION__", version.digest("hex").slice(0, 16))
        .replace(/["'`]__FILES__["'`]/, JSON.stringify(kept));
      writeFileSync(join(out, "sw.js"), worker);
      for (const name of [...files, "sw.js"].filter((name) => COMPRESSED.test(name))) {
        writeFileSync(join(out, `${name}.gz`), gzipSync(readFileSync(join(out, name)), { level: 9 }));
      }
      replacePage();
    },
  };
}

function replacePage() {
  const old = `${page}.old`;
  rmSync(old, { recursive: true, force: true });
  if (existsSync(page)) renameSync(page, old);
  renameSync(out, page);
  rmSync(old, { recursive: true, force: true });
}

function filesIn(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => statSync(join(folder, name)).isFile())
    .map((name) => name.replaceAll("\\", "/"))
    .sort();
}

export default defineConfig({
  base: "./", // any host, any folder
  plugins: [copies()],
  worker: { format: "es" },
  build: {
    outDir: out,
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      input: { index: join(here, "index.html"), sw: join(here, "src/sw.ts") },
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
  test: { include: ["test/**/*.test.ts"], pool: "threads", testTimeout: 60_000 },
});
