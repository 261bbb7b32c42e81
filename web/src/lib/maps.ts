// Maps as shares of their rows.

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

const sizes = new WeakMap<Grid, { leftOut: readonly boolean[] | null; most: number }[]>();

/** The largest absolute number among the sources that are kept. */
export function largest(map: Grid, leftOut: readonly boolean[] | null): number {
  const kept = sizes.get(map) ?? [];
  const former = kept.find((one) => one.leftOut === leftOut);
  if (former) return former.most;
  const most = largestOf(map, leftOut);
  sizes.set(map, [...kept.slice(-1), { leftOut, most }]);
  return most;
}

function largestOf({ values, sources }: Grid, leftOut: readonly boolean[] | null): number {
  let most = 0;
  if (!leftOut) {
    for (let place = 0; place < values.length; place += 1) {
      const size = Math.abs(values[place]!);
      if (size > most) most = size;
    }
    return most;
  }
  const kept = Uint32Array.from([...leftOut.keys()].filter((source) => !leftOut[source]));
  for (let start = 0; start < values.length; start += sources) {
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
