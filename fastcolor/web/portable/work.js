// The worker: the network and the painting, away from the page, which so never waits.

import * as ort from "./ort/ort.wasm.min.mjs";
import { decoded, grayOf, hintPlanes, inputSize, lightnessOf, painted, trustIn } from "./color.js";
import { answerOf, asking, planes, session } from "./run.js";
import { WebGpu } from "./webgpu.js";

ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
const wished = new URL(location.href).searchParams.get("engine"); // "wasm" alone, or "webgpu" even where it is slower

async function load() {
  const whole = session(ort, "net.onnx", "wasm");
  const net = await (await fetch("net.json")).json();
  const gpu = new WebGpu(net, wished === "wasm" ? "" : net.webgpu, wished === "webgpu");
  return { net, gpu, whole: asking(ort, await whole) };
}

const loading = load();
let following = null; // the network that follows hints, once there is one

function follower() {
  following ??= Promise.all(["features.onnx", "colours.onnx"].map((name) => session(ort, name, "wasm")));
  following.catch(() => (following = null)); // it may be tried again
  return following;
}

const seen = new Map(); // what the networks said of the pictures looked at last
const KEPT = 6;

/** What the network sees of a picture, and answers. */
async function first({ pixels, height, width }) {
  const { net, gpu, whole } = await loading;
  const size = inputSize(net, height, width);
  const lightness = lightnessOf(grayOf(pixels), height, width, size);
  const one = { size, lightness, trust: trustIn(lightness, height, width), by: "wasm" };
  if (gpu.used) {
    try {
      return { ...one, answer: await gpu.ask(lightness, size), by: "webgpu" };
    } catch (error) {
      gpu.without(error); // it was lost meanwhile
    }
  }
  return { ...one, answer: await whole(lightness, size) };
}

/** What the network answers. Only hints make the other one look at the picture, once; it answers each time they change. */
async function look(id, picture, hints) {
  const { net } = await loading;
  if (!seen.has(id)) {
    seen.set(id, await first(picture));
    while (seen.size > KEPT) seen.delete(seen.keys().next().value);
  }
  const one = seen.get(id), { size, by } = one;
  if (!hints.length) return { net, by, found: one.answer, trust: one.trust };
  const said = JSON.stringify(hints);
  if (one.said !== said) {
    const [features, colours] = await follower();
    one.maps ??= await features.run({ lightness: planes(ort, one.lightness, 1, size) });
    const [ab, mask] = hintPlanes(hints, net, size);
    const told = { ...one.maps, ab: planes(ort, ab, 2, size), mask: planes(ort, mask, 1, size) };
    one.hinted = answerOf(await colours.run(told), colours, size);
    one.said = said;
  }
  return { net, by: "wasm", found: one.hinted, trust: 1 }; // what somebody says is no guess
}

let last = Promise.resolve();

addEventListener("message", ({ data }) => {
  last = last.then(() => answer(data)); // one after the other
});

async function answer({ id, ticket, picture, temperature, saturation, hints }) {
  try {
    const { net, found, trust, by } = await look(id, picture, hints);
    const ab = decoded(found, net, temperature ?? net.temperature);
    const { pixels, height, width } = picture;
    const result = painted(pixels, height, width, ab, found.shape, saturation * trust);
    postMessage({ ticket, pixels: result, height, width, own: net.temperature, by }, [result.buffer]);
  } catch (error) {
    return postMessage({ ticket, error: String(error.message ?? error) });
  }
  const { gpu, whole } = await loading; // once there is a picture, is there something faster?
  gpu.seek();
  await gpu.prove(whole, seen.get(id));
}

loading.then(({ net }) => postMessage({ ready: true, hints: net.hints }), (error) => postMessage({ failed: String(error.message ?? error) }));
