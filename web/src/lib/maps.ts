// Maps as shares of their rows, and what of one is drawn in which pixel.

import type { NumberArray } from "./protocol";

export interface Grid {
  targets: number;
  sources: number;
  values: Float32Array;
}

export const grid = (values: Float32Array, targets: number, sources: number): Grid => ({ targets, sources, values });

/** ‖α f(x)‖ = |α| ‖f(x)‖ of one head. */
export function movedBy(weight: NumberArray, vectorNorm: NumberArray): Float32Array {
  const sources = weight.shape[1]!;
  const moved = new Float32Array(weight.values.length);
  for (let start = 0; start < moved.length; start += sources) {
    for (let source = 0; source < sources; source += 1) {
      moved[start + source] = Math.abs(weight.values[start + source]!) * vectorNorm.values[source]!;
    }
  }
  return moved;
}

/** One row, for every target. */
export function repeated(row: NumberArray, targets: number): Float32Array {
  const values = new Float32Array(targets * row.values.length);
  for (let target = 0; target < targets; target += 1) values.set(row.values, target * row.values.length);
  return values;
}

/** Each number as a share of its row, whose total is at least `least`: weight that goes to no source counts as well. */
export function shares(values: NumberArray["values"], targets: number, sources: number, least: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let target = 0; target < targets; target += 1) {
    const start = target * sources;
    let total = 0;
    for (let place = start; place < start + sources; place += 1) total += Math.abs(values[place]!) || 0;
    const whole = Math.max(total, least);
    const factor = whole > 0 ? 1 / whole : 0;
    for (let place = start; place < start + sources; place += 1) result[place] = values[place]! * factor;
  }
  return result;
}

export function differenceOf(first: Float32Array, second: Float32Array): Float32Array {
  const difference = new Float32Array(first.length);
  for (let place = 0; place < difference.length; place += 1) difference[place] = first[place]! - second[place]!;
  return difference;
}

/** The largest absolute number among the sources that are kept. */
export function largest({ values, targets, sources }: Grid, leftOut: readonly boolean[] | null): number {
  const kept = Uint32Array.from(Array.from({ length: sources }, (_, source) => source).filter((source) => !leftOut?.[source]));
  let most = 0;
  for (let start = 0; start < targets * sources; start += sources) {
    for (let place = 0; place < kept.length; place += 1) {
      const size = Math.abs(values[start + kept[place]!]!);
      if (size > most) most = size;
    }
  }
  return most;
}

const means = new WeakMap<Grid, Float32Array>();

/** One target's row; without a target, the mean over all of them. */
export function rowOf(map: Grid, target: number | null): Float32Array {
  if (target !== null) return map.values.subarray(target * map.sources, (target + 1) * map.sources);
  const row = means.get(map) ?? meanOf(map);
  means.set(map, row);
  return row;
}

function meanOf({ values, targets, sources }: Grid): Float32Array {
  const sums = new Float64Array(sources);
  for (let start = 0; start < values.length; start += sources) {
    for (let source = 0; source < sources; source += 1) sums[source]! += values[start + source]! || 0;
  }
  return Float32Array.from(sums, (sum) => sum / targets);
}

/** What of a map is visible, in tokens. */
export interface Window {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The number for each pixel: of its cell, or, where a pixel covers several, the one of largest size. NaN is left out. */
export function rasterized(map: Grid, view: Window, width: number, height: number, leftOut: readonly boolean[] | null): Float32Array {
  const { values, sources } = map;
  const pixels = new Float32Array(width * height).fill(NaN);
  const columns = spans(view.left, view.width, width, sources);
  const rows = spans(view.top, view.height, height, map.targets);
  const isOut = Uint8Array.from({ length: sources }, (_, source) => (leftOut?.[source] ? 1 : 0));
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      let [best, size] = [NaN, -1];
      for (let target = rows[2 * y]!; target <= rows[2 * y + 1]!; target += 1) {
        const start = target * sources;
        for (let source = columns[2 * x]!; source <= columns[2 * x + 1]!; source += 1) {
          const value = values[start + source]!;
          if (isOut[source] || !(Math.abs(value) > size)) continue;
          best = value;
          size = Math.abs(value);
        }
      }
      pixels[y * width + x] = best;
    }
  }
  return pixels;
}

/** The first and the last cell that each pixel of a side covers, in pairs. */
function spans(start: number, size: number, pixels: number, cells: number): Int32Array {
  const pairs = new Int32Array(2 * pixels);
  const inside = (cell: number) => Math.max(0, Math.min(cell, cells - 1));
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const first = Math.floor(start + (size * pixel) / pixels);
    const last = Math.max(first, Math.ceil(start + (size * (pixel + 1)) / pixels) - 1);
    pairs[2 * pixel] = inside(first);
    pairs[2 * pixel + 1] = inside(size > pixels ? last : first);
  }
  return pairs;
}
