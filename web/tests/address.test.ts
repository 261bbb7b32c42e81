import { describe, expect, it } from "vitest";
import { choiceOf, fragmentOf, nothingChosen, tokenOf, type Choice } from "../src/lib/address";

describe("the address", () => {
  const choice: Choice = {
    ...nothingChosen,
    model: "minilm-l6",
    text: "a & b = c # ü \u202e 👩‍🔬\n",
    layer: 3,
    head: 7,
    statistic: "itself",
    without: true,
    pin: 0,
    view: "grid",
    scale: "own",
    page: "answer",
    place: 5,
    said: " Paris",
    against: " #&=",
    method: "alti_logit",
    by: "weight",
    least: 5,
    alignLayer: 2,
    color: "layer",
    otherModel: "smollm2-135m",
    otherText: "another = text",
  };

  it("brings back what it holds, and the token", () => {
    const fragment = fragmentOf(choice, "secret_-1");
    expect(choiceOf(fragment)).toEqual(choice);
    expect(tokenOf(fragment)).toBe("secret_-1");
  });

  it("tells head 0, all heads and no layer apart", () => {
    for (const part of [{ layer: 0, head: 0 }, { layer: 0, head: "all" as const }, { layer: null, head: "all" as const }]) {
      expect(choiceOf(fragmentOf({ ...nothingChosen, ...part }, ""))).toEqual({ ...nothingChosen, ...part });
    }
  });

  it("leaves out what is as by default", () => {
    expect(fragmentOf(nothingChosen, "t")).toBe("#token=t");
  });

  it("ignores what it can't read", () => {
    const fragment = "#layer=-1&head=x&pin=1e9&view=pie&scale=&without=yes&constructor=1";
    expect(choiceOf(fragment)).toEqual({ ...nothingChosen });
  });
});
