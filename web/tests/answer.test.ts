import { describe, expect, it } from "vitest";
import { balance, sharesOf, signed, type AnswerFacts } from "../src/lib/answer.svelte";
import type { Token } from "../src/lib/facts";
import { colorScale } from "../src/lib/scales";

const token = (text: string): Token => ({ text, category: "other", joined: false });

describe("shares of what the model says", () => {
  const facts = { sides: [[token("a"), token("b")], [token("c")]] } as AnswerFacts;
  const shares = sharesOf({ facts, arrays: { shares: { shape: [3], values: Float64Array.of(2, -0.5, 0.25) } } });

  it("are those of the tokens of both texts, in order", () => {
    expect(shares.map(({ token: { text }, side, place, source, value }) => [text, side, place, source, value])).toEqual([
      ["a", 0, 0, 0, 2],
      ["b", 0, 1, 1, -0.5],
      ["c", 1, 0, 2, 0.25],
    ]);
  });

  it("speak for it or against it", () => {
    expect(balance(shares)).toEqual({ for: 2.25, against: -0.5 });
  });

  it("are written with their sign, which zero doesn't have", () => {
    expect([1.005, -0.5, 0.004, -0.004, null, NaN].map(signed)).toEqual(["+1.00", "−0.50", "0.00", "0.00", "–", "–"]);
  });

  it("are blue for it and orange against it", () => {
    const scale = colorScale("share", 1, "light");
    expect([scale(1), scale(0), scale(-1)]).toEqual(["rgb(0, 58, 92)", "rgb(255, 255, 255)", "rgb(110, 48, 0)"]);
  });
});
