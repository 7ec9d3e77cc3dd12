// The worker: the network and the painting, away from the page, which so never waits.

import * as ort from "./ort/ort.wasm.min.mjs";
import { decoded, grayOf, hintPlanes, inputSize, lightnessOf, painted, trustIn } from "./color.js";

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;

async function session(name) {
  const reply = await fetch(name);
  if (!reply.ok) throw new Error(`${name}: ${reply.status}`);
  return ort.InferenceSession.create(await reply.arrayBuffer(), { executionProviders: ["wasm"] });
}

async function load() {
  const [net, whole] = await Promise.all([fetch("net.json").then((reply) => reply.json()), session("net.onnx")]);
  return { net, whole };
}

const loading = load();
let following = null; // the network that follows hints, once there is one

function follower() {
  following ??= Promise.all([session("features.onnx"), session("colours.onnx")]);
  following.catch(() => (following = null)); // it may be tried again
  return following;
}

const seen = new Map(); // what the networks said of the pictures looked at last
const KEPT = 6;
const planes = (data, channels, size) => new ort.Tensor("float32", data, [1, channels, ...size]);
const answerOf = (found, { outputNames: [name] }) => ({ output: found[name].data, shape: found[name].dims.slice(2) });

/** What the network answers. Only hints make the other one look at the picture, once; it answers each time they change. */
async function look(id, { pixels, height, width }, hints) {
  const { net, whole } = await loading;
  if (!seen.has(id)) {
    const size = inputSize(net, height, width);
    const lightness = lightnessOf(grayOf(pixels), height, width, size);
    const plain = answerOf(await whole.run({ lightness: planes(lightness, 1, size) }), whole);
    seen.set(id, { size, lightness, plain, trust: trustIn(lightness, height, width) });
    while (seen.size > KEPT) seen.delete(seen.keys().next().value);
  }
  const one = seen.get(id), { size } = one;
  if (!hints.length) return { net, ...one.plain, trust: one.trust };
  const said = JSON.stringify(hints);
  if (one.said !== said) {
    const [features, colours] = await follower();
    one.maps ??= await features.run({ lightness: planes(one.lightness, 1, size) });
    const [ab, mask] = hintPlanes(hints, net, size);
    one.hinted = answerOf(await colours.run({ ...one.maps, ab: planes(ab, 2, size), mask: planes(mask, 1, size) }), colours);
    one.said = said;
  }
  return { net, ...one.hinted, trust: 1 }; // what somebody says is no guess
}

let last = Promise.resolve();

addEventListener("message", ({ data }) => {
  last = last.then(() => answer(data)); // one after the other
});

async function answer({ id, ticket, picture, temperature, saturation, hints }) {
  try {
    const { net, output, shape, trust } = await look(id, picture, hints);
    const ab = decoded(output, shape[0] * shape[1], net, temperature ?? net.temperature);
    const { pixels, height, width } = picture;
    const result = painted(pixels, height, width, ab, shape, saturation * trust);
    postMessage({ ticket, pixels: result, height, width, own: net.temperature }, [result.buffer]);
  } catch (error) {
    postMessage({ ticket, error: String(error.message ?? error) });
  }
}

loading.then(({ net }) => postMessage({ ready: true, hints: net.hints }), (error) => postMessage({ failed: String(error.message ?? error) }));
