import { describe, expect, it } from "vitest";
import type { Group } from "../src/lib/facts";
import { graphOf, rootOf, type FlowFacts } from "../src/lib/flow.svelte";

describe("the flow of a token", () => {
  const facts = { layers: [0, 1], target: 2, by: "norm" } as FlowFacts;
  const edges = { shape: [4, 4], values: Float64Array.of(1, 2, 2, 0.6, 1, 2, 0, 0.3, 0, 2, 2, 0.5, 0, 0, 2, 0.2) };
  const { nodes, tokens, edges: read } = graphOf({ facts, arrays: { edges } });

  it("has edges from a target above a layer to a source below it", () => {
    expect(read[1]).toEqual({ layer: 1, target: 2, source: 0, share: 0.3 });
    expect(tokens).toEqual([0, 2]);
  });

  it("passes through tokens between the layers, where shares add up", () => {
    expect(nodes.map(({ level, token, share }) => [level, token, Number(share.toFixed(6))])).toEqual([
      [2, 2, 1],
      [1, 2, 0.6],
      [1, 0, 0.3],
      [0, 2, 0.7],
    ]);
  });

  it("begins at the pinned token, or at the last one that is a word", () => {
    const categories = ["special", "other", "other", "punctuation", "special"];
    const group = { targets: categories.map((category) => ({ text: "", category, joined: false })) } as Group;
    expect([rootOf(group, 0), rootOf(group, null)]).toEqual([0, 2]);
  });
});
