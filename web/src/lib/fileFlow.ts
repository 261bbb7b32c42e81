// Where a token comes from, in a saved page: the flow of src/normlens/view/flow_graph.py, from the maps that the page holds.

import type { Group } from "./facts";
import type { FlowFacts } from "./flow.svelte";
import { Refused, type ArrayMessage } from "./protocol";

/** Where a layer's shares are read, the first that the layers have: both hold the target's own vector. */
const SCOPES = ["layernorm", "residual"];
const MOST_EDGES = 900;
const RAISE = 1.25;

/** The scope at which a group's flow is followed; null if it can't be, because vectors come from two texts or there is no residual stream. */
export function followedScope(group: Group, hasTwoTexts: boolean): string | null {
  if (group.crossed || (group.name === "decoder" && hasTwoTexts)) return null;
  return SCOPES.find((name) => group.scopes.some((scope) => scope.name === name)) ?? null;
}

export interface FlowRequest {
  target: number;
  by: "norm" | "weight";
  threshold: number;
}

/** The flow of a token; `mapsOf` has a layer's mean weight, and its norms by scope. */
export function flowOf(group: Group, scope: string | null, mapsOf: (layer: number) => ArrayMessage, request: FlowRequest): ArrayMessage<FlowFacts> {
  if (scope === null) throw new Refused(`In '${group.name}', vectors come from two texts, or there is no residual stream. Choose another kind of attention.`, 400);
  const { target, by } = request;
  const size = group.targets.length;
  const layers = group.layers.map((layer) => {
    const { arrays } = mapsOf(layer);
    return by === "weight" ? halfItself(arrays.weight!.values, size) : rowShares(arrays[`norm/${scope}`]!.values, size);
  });
  const start = new Float64Array(size);
  start[target] = 1;
  const whole = layers.reduceRight((reached, shares) => passed(reached, shares, () => true), start);
  let { threshold } = request;
  for (;;) {
    const found: number[] = [];
    const reached = layers.reduceRight(
      (above, shares, layer) =>
        passed(above, shares, (to, source, share) => {
          if (share < threshold) return false;
          if (found.length <= 4 * MOST_EDGES) found.push(layer, to, source, share);
          return true;
        }),
      start,
    );
    if (found.length <= 4 * MOST_EDGES) {
      const [all, kept] = [total(whole), total(reached)];
      return {
        facts: {
          group: group.name, target, by, scope: by === "norm" ? scope : "", layers: group.layers, threshold,
          hidden: Math.max(0, all - kept), lost: Math.max(0, 1 - all),
        }, // prettier-ignore
        arrays: {
          edges: { shape: [found.length / 4, 4], values: Float64Array.from(found) },
          reached: { shape: [size], values: reached },
          whole: { shape: [size], values: whole },
        },
      };
    }
    threshold *= RAISE;
  }
}

/** What reaches the sources below a layer along the edges that are kept. */
function passed(above: Float64Array, shares: Float64Array, isKept: (target: number, source: number, share: number) => boolean): Float64Array {
  const below = new Float64Array(above.length);
  for (let target = 0; target < above.length; target += 1) {
    if (!above[target]) continue;
    for (let source = 0; source < above.length; source += 1) {
      const share = above[target]! * shares[target * above.length + source]!;
      if (share > 0 && isKept(target, source, share)) below[source]! += share;
    }
  }
  return below;
}

/** Half the mean weight, and half the token itself. */
function halfItself(weight: ArrayLike<number>, size: number): Float64Array {
  return Float64Array.from(weight, (value, place) => (value + (Math.floor(place / size) === place % size ? 1 : 0)) / 2);
}

function rowShares(norms: ArrayLike<number>, size: number): Float64Array {
  const shares = Float64Array.from(norms);
  for (let start = 0; start < shares.length; start += size) {
    const row = shares.subarray(start, start + size);
    const whole = total(row) || 1;
    row.forEach((value, place) => (row[place] = value / whole));
  }
  return shares;
}

const total = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);
