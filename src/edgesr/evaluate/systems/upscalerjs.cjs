// Runs one of UpscalerJS's models in Node, for upscalerjs.py: `node upscalerjs.cjs PACKAGE`, in the folder that holds
// node_modules. One JSON line in, {width, height, input, output}, the last two files of raw RGB bytes; one JSON line out.
const fs = require("fs");
const path = require("path");
const readline = require("readline");
const here = require("module").createRequire(path.join(process.cwd(), "package.json"));

const SCALE = 4;

async function start(name) {
  let tf, backend;
  try {
    tf = here("@tensorflow/tfjs-node"); // native and on several threads, where it could be installed
    backend = "tfjs-node";
  } catch {
    tf = here("@tensorflow/tfjs");
    here("@tensorflow/tfjs-backend-wasm").setWasmPaths(
      path.join(process.cwd(), "node_modules", "@tensorflow", "tfjs-backend-wasm", "dist", path.sep)
    );
    if (!(await tf.setBackend("wasm"))) throw new Error("TensorFlow.js cannot start its WebAssembly backend");
    backend = "wasm, one thread";
  }
  const loaded = here(`${name}/4x`);
  const definition = loaded.default ?? loaded;
  if (definition.setup) definition.setup(tf); // registers the layers that Keras does not have
  const folder = path.join(process.cwd(), "node_modules", name, path.dirname(definition._internals.path));
  const model = await tf.loadLayersModel({ load: async () => artifacts(folder) });
  return { tf, backend, model, definition };
}

function artifacts(folder) {
  const description = JSON.parse(fs.readFileSync(path.join(folder, "model.json"), "utf8"));
  const groups = description.weightsManifest;
  const data = Buffer.concat(groups.flatMap((group) => group.paths.map((file) => fs.readFileSync(path.join(folder, file)))));
  return {
    modelTopology: description.modelTopology,
    weightSpecs: groups.flatMap((group) => group.weights),
    weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength),
  };
}

function upscale({ tf, model, definition }, task) {
  const bytes = fs.readFileSync(task.input);
  const [low, high] = definition.inputRange;
  const [black, white] = definition.outputRange;
  const pixels = tf.tidy(() => {
    const lr = tf.tensor4d(Float32Array.from(bytes), [1, task.height, task.width, 3]);
    const hr = model.predict(lr.div(255).mul(high - low).add(low));
    return hr.sub(black).div(white - black).clipByValue(0, 1).mul(255).round().dataSync();
  });
  const wanted = 3 * SCALE * task.width * SCALE * task.height;
  if (pixels.length !== wanted) throw new Error(`the model gave ${pixels.length} values, not ${wanted}`);
  fs.writeFileSync(task.output, Uint8Array.from(pixels));
  return {};
}

function answer(result) {
  process.stdout.write(JSON.stringify(result) + "\n");
}

console.log = console.info = console.warn = console.error; // standard output is for answers alone
start(process.argv[2]).then(
  (system) => {
    answer({ backend: system.backend });
    readline.createInterface({ input: process.stdin }).on("line", (line) => {
      try {
        answer(upscale(system, JSON.parse(line)));
      } catch (error) {
        answer({ error: String(error.message ?? error) });
      }
    });
  },
  (error) => answer({ error: String(error.message ?? error).split("\n")[0] })
);
