// Colour mathematics as the package does it: the network's input from a picture, colours from its answer, and painting.
// sRGB: IEC 61966-2-1. Lab: CIE 15, D65. Each function here is checked against the package's own on pictures.

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const toLinear = (code) => (code <= 0.04045 ? code / 12.92 : ((code + 0.055) / 1.055) ** 2.4);
const cieF = (t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
const cieInverse = (f) => Math.max(0, f > 0.2068966 ? f * f * f : (f - 16 / 116) / 7.787);
const LINEAR = Float64Array.from({ length: 256 }, (_, code) => toLinear(code / 255));

// Codes of linear light in 8192 steps of its square root, which are fine enough for 8 bits.
const STEPS = 8192;
const CODES = Uint8ClampedArray.from({ length: STEPS + 1 }, (_, step) => {
  const light = (step / STEPS) ** 2;
  return Math.floor((light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055) * 255 + 0.5);
});
const toCode = (light) => CODES[(Math.sqrt(clamp(light, 0, 1)) * STEPS + 0.5) | 0];

/** Half-way cases go to the even neighbour, as in Python. */
function rounded(value) {
  const floor = Math.floor(value), rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** [height, width] that the network sees of a picture. */
export function inputSize(net, height, width) {
  const scale = net.size / Math.sqrt(height * width);
  const side = (length) => Math.max(rounded(Math.min(length * scale, 4 * net.size) / net.stride), 2) * net.stride;
  return [side(height), side(width)];
}

/** The gray picture (height * width bytes) of RGBA pixels, by ITU-R BT.601's weights in 16 bits. */
export function grayOf(pixels) {
  const gray = new Uint8Array(pixels.length / 4);
  for (let i = 0, at = 0; i < gray.length; i += 1, at += 4) {
    gray[i] = (19595 * pixels[at] + 38470 * pixels[at + 1] + 7471 * pixels[at + 2] + 32768) >> 16;
  }
  return gray;
}

/** For each of `out` places the first of `size` samples under a triangle as wide as the shrinking, and their weights. */
function windows(out, size) {
  const ratio = size / out, support = Math.max(ratio, 1);
  return Array.from({ length: out }, (_, place) => {
    const center = (place + 0.5) * ratio;
    const first = Math.max(0, Math.floor(center - support + 0.5));
    const last = Math.min(size, Math.floor(center + support + 0.5));
    const weights = [];
    for (let i = first; i < last; i += 1) weights.push(Math.max(0, 1 - Math.abs(i - (center - 0.5)) / support));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

/** L in 0..100, (h * w), of a gray picture shrunk without aliasing. */
export function lightnessOf(gray, height, width, [h, w]) {
  const columns = windows(w, width);
  const result = new Float32Array(h * w), row = new Float64Array(width);
  windows(h, height).forEach(({ first, weights }, y) => {
    row.fill(0);
    weights.forEach((weight, i) => {
      const at = (first + i) * width;
      for (let x = 0; x < width; x += 1) row[x] += (weight / 255) * gray[at + x];
    });
    columns.forEach((column, x) => {
      let sum = 0;
      column.weights.forEach((weight, i) => (sum += weight * row[column.first + i]));
      result[y * w + x] = 116 * cieF(toLinear(sum)) - 16;
    });
  });
  return result;
}

/** How much of the predicted colour to believe, 0 to 1: little where a picture is flat or of a few pixels. */
export function trustIn(lightness, height, width) {
  const mean = lightness.reduce((sum, l) => sum + l, 0) / lightness.length;
  const squares = lightness.reduce((sum, l) => sum + (l - mean) ** 2, 0);
  const spread = Math.sqrt(squares / (lightness.length - 1));
  return Math.min(1, spread / 2) * Math.min(1, Math.sqrt(height * width) / 32);
}

/** ab (2 * places) of the network's answer: the palette's mean under the softmax of logits / temperature. */
export function decoded({ output, shape: [height, width], byPixel }, net, temperature) {
  const places = height * width, ab = new Float32Array(2 * places);
  if (net.kind !== "classifier") {
    for (let i = 0; i < ab.length; i += 1) ab[i] = output[i] * net.saturation;
    return ab;
  }
  const bins = net.points.length / 2;
  const [perBin, perPlace] = byPixel ? [1, bins] : [places, 1];
  for (let place = 0; place < places; place += 1) {
    let most = -Infinity, likeliest = 0;
    for (let bin = 0; bin < bins; bin += 1) {
      const logit = output[bin * perBin + place * perPlace];
      if (logit > most) [most, likeliest] = [logit, bin];
    }
    let total = 0, a = 0, b = 0;
    if (temperature === 0) [total, a, b] = [1, net.points[2 * likeliest], net.points[2 * likeliest + 1]];
    else {
      for (let bin = 0; bin < bins; bin += 1) {
        const weight = Math.exp((output[bin * perBin + place * perPlace] - most) / temperature);
        total += weight;
        a += weight * net.points[2 * bin];
        b += weight * net.points[2 * bin + 1];
      }
    }
    ab[place] = (a / total) * net.saturation;
    ab[places + place] = (b / total) * net.saturation;
  }
  return ab;
}

/** [a, b] of Lab of a colour, "#rrggbb". */
function chromaOf(color) {
  const [r, g, b] = [1, 3, 5].map((at) => LINEAR[parseInt(color.slice(at, at + 2), 16)]);
  const fx = cieF((0.412453 * r + 0.35758 * g + 0.180423 * b) / 0.950456);
  const fy = cieF(0.212671 * r + 0.71516 * g + 0.072169 * b);
  const fz = cieF((0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.088754);
  return [500 * (fx - fy), 200 * (fy - fz)];
}

/**
 * What the network takes of hints, [ab (2 * h * w), mask (h * w)]: discs and strokes of a radius in parts of the shorter
 * side; the later one counts. hints: {points: [[x, y], ...], color, radius}, places from 0 to 1.
 */
export function hintPlanes(hints, net, [h, w]) {
  const ab = new Float32Array(2 * h * w), mask = new Float32Array(h * w);
  for (const { points, color, radius } of hints) {
    const [a, b] = chromaOf(color).map((value) => value / (net.saturation || 1));
    const places = points.map(([x, y]) => [Math.min(Math.floor(y * h), h - 1), Math.min(Math.floor(x * w), w - 1)]);
    const reach = (radius * Math.min(h, w)) ** 2;
    for (let row = 0; row < h; row += 1) {
      for (let column = 0; column < w; column += 1) {
        let away = (row - places[0][0]) ** 2 + (column - places[0][1]) ** 2;
        for (let i = 1; i < places.length; i += 1) {
          const [top, left] = places[i - 1], down = places[i][0] - top, across = places[i][1] - left;
          const along = ((row - top) * down + (column - left) * across) / Math.max(down * down + across * across, 1);
          const share = clamp(along, 0, 1);
          away = Math.min(away, (row - top - share * down) ** 2 + (column - left - share * across) ** 2);
        }
        if (away > reach) continue;
        const at = row * w + column;
        ab[at] = a;
        ab[h * w + at] = b;
        mask[at] = 1;
      }
    }
  }
  return [ab, mask];
}

/** The share of a chroma that a lightness can have: none in black and in white. */
function chromaShare(lightness) {
  const x = clamp(Math.min((lightness - 1) / 5, (98.25 - lightness) / 0.5), 0, 1);
  return x * x * (3 - 2 * x);
}

/** Two places of `small` and the share of the second, for each of `large`, whose centres lie half a pixel in. */
function taps(large, small) {
  return Array.from({ length: large }, (_, place) => {
    const at = clamp(((place + 0.5) * small) / large - 0.5, 0, small - 1), low = Math.floor(at);
    return [low, Math.min(low + 1, small - 1), at - low];
  });
}

/**
 * RGBA pixels in colour: the lightness of `pixels`, and ab (2 * h * w) as large as they are.
 */
export function painted(pixels, height, width, ab, [h, w], saturation) {
  const result = new Uint8ClampedArray(pixels.length);
  const columns = taps(width, w), places = h * w;
  taps(height, h).forEach(([above, below, down], y) => {
    for (let x = 0; x < width; x += 1) {
      const at = 4 * (y * width + x);
      const [left, right, across] = columns[x];
      const light = 0.212671 * LINEAR[pixels[at]] + 0.71516 * LINEAR[pixels[at + 1]] + 0.072169 * LINEAR[pixels[at + 2]];
      const lightness = 116 * cieF(light) - 16;
      const factor = saturation * chromaShare(lightness);
      const mixed = (plane) => {
        const top = ab[plane + above * w + left] * (1 - across) + ab[plane + above * w + right] * across;
        const bottom = ab[plane + below * w + left] * (1 - across) + ab[plane + below * w + right] * across;
        return (top * (1 - down) + bottom * down) * factor;
      };
      const fy = (lightness + 16) / 116;
      const tx = cieInverse(fy + mixed(0) * 0.002), ty = cieInverse(fy), tz = cieInverse(fy - mixed(places) * 0.005);
      result[at] = toCode(3.079980302271805 * tx - 1.5371515162713185 * ty - 0.5428213080224701 * tz);
      result[at + 1] = toCode(-0.9212477523232383 * tx + 1.8759900014898907 * ty + 0.045247339514466 * tz);
      result[at + 2] = toCode(0.05289046109881183 * tx - 0.20404133836651123 * ty + 1.1512320119619401 * tz);
      result[at + 3] = pixels[at + 3];
    }
  });
  return result;
}
