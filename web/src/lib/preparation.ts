// What drawing a map needs, made before the reader wants it, in steps that are shorter than a frame.

import type { Frame } from "./mapFrame";
import { largest, rowOf } from "./maps";
import type { ShownMaps } from "./measures";
import { rasterized } from "./pixels";

/** The steps; each keeps its result where drawing finds it. Without a frame, no map was drawn yet, and its size isn't known. */
export function preparationsOf(maps: ShownMaps, leftOut: readonly boolean[] | null, frame: Frame | null): (() => void)[] {
  const { weight, moved, difference } = maps;
  const grids = [weight, moved, difference];
  return [
    ...grids.map((map) => () => void largest(map, leftOut)),
    ...[weight, moved].map((map) => () => void rowOf(map, null)),
    ...(frame ? grids.map((map) => () => void rasterized(map, frame.view, frame.side, frame.height, leftOut)) : []),
  ];
}
