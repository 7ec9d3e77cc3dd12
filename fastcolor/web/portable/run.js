// A network's file in ONNX Runtime Web, and what it answers.

/** ort: the runtime. provider: "wasm" or "webgpu". */
export async function session(ort, name, provider) {
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  const reply = await fetch(name);
  if (!reply.ok) throw new Error(`${name}: ${reply.status}`);
  return ort.InferenceSession.create(await reply.arrayBuffer(), { executionProviders: [provider] });
}

export const planes = (ort, data, channels, size) => new ort.Tensor("float32", data, [1, channels, ...size]);

/**
 * What a network gave of a lightness of a size: its numbers, their height and width, and whether they lie pixel by pixel
 * or plane by plane, which the answer's name tells (`BY_PIXEL` in engines/session.py).
 */
export function answerOf(found, { outputNames: [name] }, [h, w]) {
  const { data, dims } = found[name];
  if (name !== "output_by_pixel") return { output: data, shape: dims.slice(2), byPixel: false };
  const step = Math.round(Math.sqrt((h * w) / dims[0]));
  return { output: data, shape: [h / step, w / step], byPixel: true };
}

/** A network of a lightness (h * w) of a size: its answer, and in how many milliseconds that came. */
export function asking(ort, network) {
  return async (lightness, size) => {
    const began = performance.now();
    const found = answerOf(await network.run({ lightness: planes(ort, lightness, 1, size) }), network, size);
    return { ...found, took: performance.now() - began };
  };
}
