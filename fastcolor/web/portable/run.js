// A network's file in ONNX Runtime Web, and what it answers.

/** ort: the runtime. provider: "wasm" or "webgpu". */
export async function session(ort, name, provider) {
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  const reply = await fetch(name);
  if (!reply.ok) throw new Error(`${name}: ${reply.status}`);
  return ort.InferenceSession.create(await reply.arrayBuffer(), { executionProviders: [provider] });
}

export const planes = (ort, data, channels, size) => new ort.Tensor("float32", data, [1, channels, ...size]);
export const answerOf = (found, { outputNames: [name] }) => ({ output: found[name].data, shape: found[name].dims.slice(2) });

/** A network of a lightness (h * w) of a size: its answer, and in how many milliseconds that came. */
export function asking(ort, network) {
  return async (lightness, size) => {
    const began = performance.now();
    const found = answerOf(await network.run({ lightness: planes(ort, lightness, 1, size) }), network);
    return { ...found, took: performance.now() - began };
  };
}
