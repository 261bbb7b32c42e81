// The measures that maps show beside the weights, and how a map of each is made of what the service sends.

import { differenceOf, grid, movedBy, repeated, shares, type Grid } from "./maps";
import type { ArrayMessage, NumberArray } from "./protocol";

/** A measure as the service describes it. */
export interface Measure {
  name: string;
  label: string;
  short: string;
  formula: string;
  signed: boolean;
}

/** The maps of one head, or of all heads: weights, the chosen measure, and their difference, in shares of each row. */
export interface ShownMaps {
  weight: Grid;
  moved: Grid;
  difference: Grid;
}

/** α as the share of each row's weight; the measure as the share of each row's total, if it isn't a share already. */
export function mapsOf(message: ArrayMessage<unknown>, measure: Measure, scope: string): ShownMaps {
  const weight = message.arrays.weight!;
  const [targets, sources] = weight.shape as [number, number];
  const alpha = shares(weight.values, targets, sources, 1);
  const values = measured(message, measure.name, scope);
  const moved = measure.signed ? Float32Array.from(values) : shares(values, targets, sources, 0);
  return {
    weight: grid(alpha, targets, sources),
    moved: grid(moved, targets, sources),
    difference: grid(differenceOf(moved, alpha), targets, sources),
  };
}

/** The numbers of a measure for each target and source. */
export function measured({ arrays }: ArrayMessage<unknown>, name: string, scope: string): NumberArray["values"] {
  const weight = arrays.weight!;
  const stored = arrays[`${name}/${scope}`] ?? arrays[name];
  if (name === "vector_norm" && stored && weight.shape.length === 2) return repeated(stored, weight.shape[0]!);
  if (stored) return stored.values;
  if (name === "weighted_norm" && arrays.vector_norm) return movedBy(weight, arrays.vector_norm);
  return new Float32Array(weight.values.length).fill(NaN);
}
