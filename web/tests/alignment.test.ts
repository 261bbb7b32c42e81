import { describe, expect, it } from "vitest";
import { linksOf, missedBy, type AlignmentFacts } from "../src/lib/alignment.svelte";

describe("links of words", () => {
  const facts = { source: ["das", "Haus"], target: ["the", "house"], links: { weight: [[0, 0], [0, 1]], norm: [[0, 0], [1, 1]] }, gold: null } as unknown as AlignmentFacts;
  const weight = { shape: [2, 3], values: Float64Array.of(0.5, 0.1, 0.4, 0.6, 0.3, 0.1) };
  const norm = { shape: [2, 3], values: Float64Array.of(0.8, 0.1, 0.1, 0.2, 0.7, 0.1) };
  const message = { facts, arrays: { weight, norm } };

  it("have the share that the target word takes, and say whether both measures agree", () => {
    expect(linksOf(message, "weight")).toEqual([
      { source: 0, target: 0, share: 0.5, isShared: true, isWrong: false },
      { source: 0, target: 1, share: 0.6, isShared: false, isWrong: false },
    ]);
    expect(linksOf(message, "norm")[1]).toEqual({ source: 1, target: 1, share: 0.7, isShared: false, isWrong: false });
  });

  it("stand beside gold links: those that aren't there are wrong, and sure ones can be missed", () => {
    const gold = { sure: [[1, 1]], possible: [[0, 0]], rates: {} } as unknown as AlignmentFacts["gold"];
    const beside = { ...message, facts: { ...facts, gold } };
    expect(linksOf(beside, "weight").map(({ isWrong }) => isWrong)).toEqual([false, true]);
    expect(missedBy(beside.facts, linksOf(beside, "weight"))).toEqual([[1, 1]]);
    expect(missedBy(beside.facts, linksOf(beside, "norm"))).toEqual([]);
    expect(missedBy(facts, [])).toEqual([]);
  });
});
