import { describe, expect, it } from "vitest";
import { directionOf } from "../src/lib/direction";
import type { Token } from "../src/lib/facts";

const tokens = (...texts: string[]): Token[] =>
  texts.map((text) => ({ text, category: text.startsWith("[") ? "special" : "other", joined: false }));

describe("the direction of a text", () => {
  it("is that of its first letter, whatever special tokens and signs come before", () => {
    expect(directionOf(tokens("[CLS]", "“", "של", "ום", "good"))).toBe("rtl");
    expect(directionOf(tokens("[CLS]", "3", "مرحبا"))).toBe("rtl");
    expect(directionOf(tokens("[CLS]", "good", "שלום"))).toBe("ltr");
    expect(directionOf(tokens("[CLS]", "你好", "👩"))).toBe("ltr");
    expect(directionOf(tokens("[CLS]", "7"))).toBe("ltr");
  });
});
