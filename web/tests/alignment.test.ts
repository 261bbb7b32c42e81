import { describe, expect, it } from "vitest";
import { linksOf, type AlignmentFacts } from "../src/lib/alignment.svelte";

describe("links of words", () => {
  const facts = { source: ["das", "Haus"], target: ["the", "house"], links: { weight: [[0, 0], [0, 1]], norm: [[0, 0], [1, 1]] } } as unknown as AlignmentFacts;
  const weight = { shape: [2, 3], values: Float64Array.of(0.5, 0.1, 0.4, 0.6, 0.3, 0.1) };
  const norm = { shape: [2, 3], values: Float64Array.of(0.8, 0.1, 0.1, 0.2, 0.7, 0.1) };
  const message = { facts, arrays: { weight, norm } };

  it("have the share that the target word takes, and say whether both measures agree", () => {
    expect(linksOf(message, "weight")).toEqual([
      { source: 0, target: 0, share: 0.5, isShared: true },
      { source: 0, target: 1, share: 0.6, isShared: false },
    ]);
    expect(linksOf(message, "norm")[1]).toEqual({ source: 1, target: 1, share: 0.7, isShared: false });
  });
});
