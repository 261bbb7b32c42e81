import { describe, expect, it } from "vitest";
import { changedHeads } from "../src/lib/comparison.svelte";
import type { Group, Token } from "../src/lib/facts";
import { grid } from "../src/lib/maps";
import { differenceWhereSame, matchedTokens } from "../src/lib/matching";

const tokens = (...texts: string[]): Token[] => texts.map((text) => ({ text, category: "other", joined: false }));

describe("tokens of two texts", () => {
  it("match where they are the same, in order", () => {
    const [first, second] = [tokens("[CLS]", "the", "old", "cat", "sat", "."), tokens("[CLS]", "the", "cat", "quietly", "sat", "!", ".")];
    expect(matchedTokens(first, second)).toEqual([[0, 0], [1, 1], [3, 2], [4, 4], [5, 6]]);
  });
  it("match whatever marks the beginning of a word, once each", () => {
    expect(matchedTokens(tokens("Ġa", "▁b", " "), tokens("a", "b", " "))).toEqual([[0, 0], [1, 1], [2, 2]]);
    expect(matchedTokens(tokens("a", "a"), tokens("a"))).toEqual([[0, 0]]);
    expect(matchedTokens(tokens("a"), tokens("b"))).toEqual([]);
    expect(matchedTokens([], tokens("b"))).toEqual([]);
  });
  it("have the difference of second and first", () => {
    const [first, second] = [grid(Float32Array.of(1, 2, 3, 4), 2, 2), grid(Float32Array.of(10, 20, 30, 40, 50, 60, 70, 80, 90), 3, 3)];
    const difference = differenceWhereSame(first, second, [[0, 1], [1, 2]], [[1, 0], [0, 2]]);
    expect(difference).toEqual({ targets: 2, sources: 2, values: Float32Array.of(38, 59, 66, 87) });
  });
});

describe("heads of two runs", () => {
  const group = (norm: (number | null)[], layers = [0, 1]): Group =>
    ({ layers, heads: [2, 1], amount: [], shares: { all: { weight: norm, norm } } }) as unknown as Group;
  it("are ordered by the change of their share of norm", () => {
    const changes = changedHeads(group([0.5, 0.25, null]), group([0.25, 1, 0.5]), "all", 5);
    expect(changes).toEqual([
      { layer: 0, head: 1, before: 0.25, after: 1 },
      { layer: 0, head: 0, before: 0.5, after: 0.25 },
    ]);
  });
  it("are not compared by their numbers if these differ", () => {
    expect(changedHeads(group([1, 1, 1]), group([1, 1, 1], [0, 2]), "all", 5)).toBeNull();
  });
});
