import { describe, expect, it } from "vitest";
import type { Group, Token } from "../src/lib/facts";
import { flowOf, followedScope } from "../src/lib/fileFlow";
import { splitName } from "../src/lib/fileTransport";
import type { ArrayMessage } from "../src/lib/protocol";

const tokens: Token[] = ["a", "b"].map((text) => ({ text, category: "other", joined: false }));
const group = { name: "encoder", crossed: false, layers: [0, 1], targets: tokens, sources: tokens, scopes: [{ name: "attention" }, { name: "residual" }] } as Group;
const maps = (layer: number): ArrayMessage => ({
  facts: {},
  arrays: {
    weight: { shape: [2, 2], values: Float32Array.of(1, 0, 0.5, 0.5) },
    "norm/residual": { shape: [2, 2], values: layer ? Float32Array.of(4, 0, 1, 3) : Float32Array.of(2, 0, 1, 1) },
  },
});

describe("the flow in a saved page", () => {
  it("multiplies the shares of each layer's norms", () => {
    const { facts, arrays } = flowOf(group, "residual", maps, { target: 1, by: "norm", threshold: 0.01 });
    expect([...arrays.edges!.values]).toEqual([1, 1, 0, 0.25, 1, 1, 1, 0.75, 0, 0, 0, 0.25, 0, 1, 0, 0.375, 0, 1, 1, 0.375]);
    expect([...arrays.whole!.values]).toEqual([0.625, 0.375]);
    expect([facts.hidden, facts.lost, facts.scope]).toEqual([0, 0, "residual"]);
  });

  it("hides edges below the threshold, with what would come along them", () => {
    const { facts, arrays } = flowOf(group, "residual", maps, { target: 1, by: "norm", threshold: 0.3 });
    expect([...arrays.edges!.values]).toEqual([1, 1, 1, 0.75, 0, 1, 0, 0.375, 0, 1, 1, 0.375]);
    expect(facts.hidden).toBe(0.25);
  });

  it("takes half the mean weight by weight, and half the token itself", () => {
    const { arrays } = flowOf(group, "residual", maps, { target: 1, by: "weight", threshold: 0.01 });
    expect([...arrays.whole!.values]).toEqual([0.4375, 0.5625]);
  });

  it("is offered where vectors come from one text and there is a residual stream", () => {
    expect(followedScope(group, true)).toBe("residual");
    expect(followedScope({ ...group, crossed: true }, true)).toBeNull();
    expect([followedScope({ ...group, name: "decoder" }, true), followedScope({ ...group, name: "decoder" }, false)]).toEqual([null, "residual"]);
    expect(followedScope({ ...group, scopes: [] }, false)).toBeNull();
    expect(() => flowOf(group, null, maps, { target: 0, by: "norm", threshold: 0.1 })).toThrow("two texts");
  });
});

it("a split's name is JSON in ASCII, as Python writes it", () => {
  expect(splitName({ method: "decompx", place: null, token: "é\u007f👩", against: 'a"b' })).toBe(
    '["decompx",null,"\\u00e9\\u007f\\ud83d\\udc69","a\\"b"]',
  );
});
