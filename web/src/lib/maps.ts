// Maps as shares of their rows, and what part of one is drawn in which pixel.

import type { NumberArray } from "./protocol";

export interface Grid {
  targets: number;
  sources: number;
  values: Float32Array;
}

export interface MapTriple {
  weight: Grid;
  norm: Grid;
  difference: Grid;
}

/** α as the share of each row's weight, ‖αf‖ as the share of each row's norm, and norm − weight. */
export function tripleOf(weight: NumberArray, moved: Float32Array): MapTriple {
  const [targets, sources] = weight.shape as [number, number];
  const alpha = shares(Float32Array.from(weight.values), targets, sources, 1);
  const norm = shares(moved, targets, sources, 0);
  const difference = new Float32Array(norm.length);
  for (let place = 0; place < difference.length; place += 1) difference[place] = norm[place]! - alpha[place]!;
  const grid = (values: Float32Array): Grid => ({ targets, sources, values });
  return { weight: grid(alpha), norm: grid(norm), difference: grid(difference) };
}

/** ‖α f(x)‖ = α ‖f(x)‖ of one head. */
export function movedBy(weight: NumberArray, vectorNorm: NumberArray): Float32Array {
  const sources = weight.shape[1]!;
  const moved = new Float32Array(weight.values.length);
  for (let place = 0; place < moved.length; place += 1) {
    moved[place] = Math.abs(weight.values[place]!) * vectorNorm.values[place % sources]!;
  }
  return moved;
}

/** Each number as a share of its row, whose total is at least `least`: weight that goes to no source counts as well. */
function shares(values: Float32Array, targets: number, sources: number, least: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let target = 0; target < targets; target += 1) {
    const start = target * sources;
    let total = 0;
    for (let source = 0; source < sources; source += 1) total += Math.abs(values[start + source]!) || 0;
    const whole = total < least ? Math.max(total, least) : total;
    for (let source = 0; source < sources; source += 1) {
      const value = values[start + source]!;
      result[start + source] = whole > 0 ? value / whole : value * 0;
    }
  }
  return result;
}

/** The largest absolute number among the sources that are kept. */
export function largest(grid: Grid, leftOut: readonly boolean[] | null): number {
  let most = 0;
  for (let target = 0; target < grid.targets; target += 1) {
    for (let source = 0; source < grid.sources; source += 1) {
      if (leftOut?.[source]) continue;
      const size = Math.abs(grid.values[target * grid.sources + source]!);
      if (size > most) most = size;
    }
  }
  return most;
}

/** One target's row; without a target, the mean over all of them. */
export function rowOf(grid: Grid, target: number | null): Float32Array {
  if (target !== null) return grid.values.slice(target * grid.sources, (target + 1) * grid.sources);
  const row = new Float32Array(grid.sources);
  for (let place = 0; place < grid.values.length; place += 1) {
    row[place % grid.sources] = row[place % grid.sources]! + (grid.values[place]! || 0) / grid.targets;
  }
  return row;
}

/** What part of a map is visible, in tokens. */
export interface Window {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The number for each pixel: of its cell, or, where a pixel covers several, the one of largest size. NaN is left out. */
export function rasterized(grid: Grid, view: Window, width: number, height: number, leftOut: readonly boolean[] | null): Float32Array {
  const pixels = new Float32Array(width * height).fill(NaN);
  const columns = Array.from({ length: width }, (_, x) => span(view.left, view.width, x, width, grid.sources));
  for (let y = 0; y < height; y += 1) {
    const [first, last] = span(view.top, view.height, y, height, grid.targets);
    for (let x = 0; x < width; x += 1) {
      const [from, to] = columns[x]!;
      let best = NaN;
      for (let target = first; target <= last; target += 1) {
        for (let source = from; source <= to; source += 1) {
          if (leftOut?.[source]) continue;
          const value = grid.values[target * grid.sources + source]!;
          if (!(Math.abs(value) <= Math.abs(best))) best = Number.isNaN(value) ? best : value;
        }
      }
      pixels[y * width + x] = best;
    }
  }
  return pixels;
}

/** The first and last cell that a pixel covers. */
function span(start: number, size: number, pixel: number, pixels: number, cells: number): [number, number] {
  const first = Math.floor(start + (size * pixel) / pixels);
  const last = Math.max(first, Math.ceil(start + (size * (pixel + 1)) / pixels) - 1);
  return [Math.max(0, Math.min(first, cells - 1)), Math.max(0, Math.min(size > pixels ? last : first, cells - 1))];
}
