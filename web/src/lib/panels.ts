// The three maps beside each other: what they are called, and how they are colored.

import type { ZoomTransform } from "d3-zoom";
import { percent, points } from "./facts";
import { largest, type Grid } from "./maps";
import type { Measure, ShownMaps } from "./measures";
import type { Window } from "./pixels";
import type { Palette } from "./scales";

export interface Panel {
  name: keyof ShownMaps;
  title: string;
  formula: string;
  palette: Palette;
  isDifference: boolean;
}

const TITLES: Record<string, string> = {
  weighted_norm: "What attention moves",
  norm: "What attention moves",
  vector_norm: "How long the vectors are",
  displacement: "What taking a source out changes",
  contribution_weight: "What the output is made of",
};

/** Weights, the measure, and their difference. */
export function panelsOf(measure: Measure, formula: string, isHead: boolean): Panel[] {
  const weight = isHead ? "α" : "mean of α over heads";
  return [
    { name: "weight", title: "What the weights say", formula: weight, palette: "weight", isDifference: false },
    {
      name: "moved",
      title: TITLES[measure.name] ?? measure.label,
      formula,
      palette: measure.signed ? "difference" : "norm",
      isDifference: false,
    },
    { name: "difference", title: "Difference", formula: `${measure.label} − weight`, palette: "difference", isDifference: true },
  ];
}

/** The number at the end of each map's scale: one for all, or each map's own. */
export function boundsOf(maps: ShownMaps, leftOut: readonly boolean[] | null, isShared: boolean): Record<keyof ShownMaps, number> {
  const own = { weight: largest(maps.weight, leftOut), moved: largest(maps.moved, leftOut) };
  const shared = Math.max(own.weight, own.moved);
  if (isShared) return { weight: shared, moved: shared, difference: shared };
  return { ...own, difference: largest(maps.difference, leftOut) };
}

/** What stands at both ends of a scale. */
export function labelsOfScale(panel: Panel, bound: number): { low: string; high: string } {
  if (panel.isDifference) return { low: points(-bound), high: `${points(bound)} points` };
  return { low: panel.palette === "difference" ? percent(-bound) : "0", high: `${percent(bound)} of the row` };
}

/** The part of a map that a zoom shows. The transform counts in sides of the map, so that maps of several sizes share it. */
export const viewOf = ({ x, y, k }: ZoomTransform, { targets, sources }: Grid): Window => ({
  left: (-x / k) * sources,
  top: (-y / k) * targets,
  width: sources / k,
  height: targets / k,
});
