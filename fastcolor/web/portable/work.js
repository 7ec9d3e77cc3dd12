// The worker: the network and the painting, away from the page, which so never waits.

import * as ort from "./ort/ort.wasm.min.mjs";
import { decoded, grayOf, inputSize, lightnessOf, painted, trustIn } from "./color.js";

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;

async function load() {
  const [net, model] = await Promise.all([
    fetch("net.json").then((reply) => reply.json()),
    fetch("net.onnx").then((reply) => reply.arrayBuffer()),
  ]);
  return { net, session: await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }) };
}

const loading = load();
const seen = new Map(); // what the network said of the pictures looked at last
const KEPT = 6;

async function look(id, { pixels, height, width }) {
  const { net, session } = await loading;
  if (!seen.has(id)) {
    const size = inputSize(net, height, width);
    const lightness = lightnessOf(grayOf(pixels), height, width, size);
    const answer = await session.run({ lightness: new ort.Tensor("float32", lightness, [1, 1, ...size]) });
    const { data, dims } = answer[session.outputNames[0]];
    seen.set(id, { output: data, shape: dims.slice(2), trust: trustIn(lightness, height, width) });
    while (seen.size > KEPT) seen.delete(seen.keys().next().value);
  }
  return { net, ...seen.get(id) };
}

let last = Promise.resolve();

addEventListener("message", ({ data }) => {
  last = last.then(() => answer(data)); // one after the other
});

async function answer({ id, ticket, picture, temperature, saturation }) {
  try {
    const { net, output, shape, trust } = await look(id, picture);
    const ab = decoded(output, shape[0] * shape[1], net, temperature ?? net.temperature);
    const { pixels, height, width } = picture;
    const result = painted(pixels, height, width, ab, shape, saturation * trust);
    postMessage({ ticket, pixels: result, height, width, own: net.temperature }, [result.buffer]);
  } catch (error) {
    postMessage({ ticket, error: String(error.message ?? error) });
  }
}

loading.then(() => postMessage({ ready: true }), (error) => postMessage({ failed: String(error.message ?? error) }));
