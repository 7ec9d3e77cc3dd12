// The network on the graphics processor: only where there is one, where it answers as WebAssembly does, and faster.

import { decoded } from "./color.js";
import { asking, session } from "./run.js";

const CELLS = 8; // to a side, whose mean colours are compared
const BOUND = 2; // distance in ab of answers: rounding to 8 bits moves them by less
const COLOURED = 6; // mean chroma of an answer: one that is gray proves nothing

export class WebGpu {
  /** name: of the network's file; "": there is none. always: even where it is slower. */
  constructor(net, name, always) {
    Object.assign(this, { net, name, always, ask: null, used: false });
  }

  /** Look for one, once. Nobody waits for that; a browser without an adapter fetches nothing. */
  seek() {
    const { name } = this;
    this.name = "";
    if (name) this.load(name).catch((error) => this.without(error));
  }

  async load(name) {
    if (!(await navigator.gpu?.requestAdapter())) return;
    const ort = await import("./ort/ort.webgpu.min.mjs");
    ort.env.wasm.numThreads = 1;
    this.ask = asking(ort, await session(ort, name, "webgpu"));
  }

  without(why) {
    Object.assign(this, { ask: null, used: false });
    console.warn("WebGPU is not used:", why);
  }

  /** See by a picture that WebAssembly has answered, once, whether the next ones may go here. plain: asks WebAssembly. */
  async prove(plain, one) {
    if (!this.ask || this.used || one.asked) return;
    one.asked = true; // it would say the same each time its colours are changed, which wait for that
    const { lightness, size, answer } = one;
    try {
      await this.ask(lightness, size); // which compiles
      const theirs = await this.ask(lightness, size), ours = await plain(lightness, size);
      const verdict = compared(answer, theirs, this.net);
      const times = `${Math.round(theirs.took)} ms, WebAssembly ${Math.round(ours.took)} ms`;
      if (verdict === "other") this.without("it gives other colours");
      else if (verdict === "same" && theirs.took >= ours.took && !this.always) this.without(`it took ${times}`);
      else if (verdict === "same") this.used = true;
    } catch (error) {
      this.without(error);
    }
  }
}

/** "same" or "other": whether an answer is WebAssembly's to the same picture; "unknown" of one that is gray. */
function compared(ours, theirs, net) {
  const [one, other] = [cells(ours, net), cells(theirs, net)];
  const distance = length(one.map((value, i) => value - other[i]));
  if (!(distance <= BOUND)) return "other"; // NaN is none
  return length(one) < COLOURED ? "unknown" : "same";
}

/** (2 * CELLS * CELLS) mean ab of an answer. */
function cells(answer, net) {
  const { shape: [height, width] } = answer;
  const ab = decoded(answer, net, net.temperature), result = new Float64Array(2 * CELLS * CELLS);
  const counts = new Float64Array(result.length);
  for (let at = 0; at < ab.length; at += 1) {
    const row = Math.floor(at / width), plane = row < height ? 0 : 1;
    const y = Math.floor(((row % height) * CELLS) / height), x = Math.floor(((at % width) * CELLS) / width);
    const cell = (plane * CELLS + y) * CELLS + x;
    result[cell] += ab[at];
    counts[cell] += 1;
  }
  return result.map((sum, cell) => sum / Math.max(counts[cell], 1));
}

/** Mean length of the cells' (a, b). */
function length(values) {
  const half = values.length / 2;
  let sum = 0;
  for (let i = 0; i < half; i += 1) sum += Math.hypot(values[i], values[half + i]);
  return sum / half;
}
