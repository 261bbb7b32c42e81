import { describe, expect, it } from "vitest";
import type { AlignmentFacts } from "../src/lib/alignment.svelte";
import { sharesOf, sumsOf, type AnswerFacts } from "../src/lib/answer.svelte";
import { answerFigure } from "../src/lib/answerFigure";
import { wrapped } from "../src/lib/drawnFigure";
import type { Group, Token } from "../src/lib/facts";
import type { FlowFacts } from "../src/lib/flow.svelte";
import { alignmentTable, answerTable, flowTable } from "../src/lib/tables";

const token = (text: string, joined = false): Token => ({ text, category: "other", joined });
const facts = {
  head: "next",
  method: "decompx",
  target: 'logit of "<b>"',
  value: 0.25,
  biasShare: 0.05,
  last: 1,
  sides: [[token("a,b"), token("<b>", true), token("later")]],
} as AnswerFacts;
const shares = sharesOf({ facts, arrays: { shares: { shape: [3], values: Float64Array.of(0.1 + 0.2, -0.1, 0) } } });

describe("what a model says, saved", () => {
  it("is a table of all digits, with what belongs to no token, and nothing for what wasn't read", () => {
    expect(answerTable(facts, shares).split("\r\n")).toEqual([
      "side,position,token,category,share",
      'text,0,"a,b",other,0.30000000000000004',
      "text,1,<b>,other,-0.1",
      "text,2,later,other,",
      "none,,,bias,0.05",
      "",
    ]);
  });

  it("is a picture with tokens as text, which are broken into lines", () => {
    const svg = answerFigure(facts, shares, sumsOf(facts, shares), "a caption", (text) => 200 * text.length);
    expect(svg).toContain(">&lt;b&gt;</text>");
    expect(svg).not.toContain("<b>");
    expect(new Set([...svg.matchAll(/<rect x="[\d.]+" y="(\d+)" width="[\d.]+" height="24"/g)].map((one) => one[1])).size).toBe(3);
    expect(svg).toContain("together: logit of &quot;&lt;b&gt;&quot;");
    expect(svg.match(/fill="none"/g)).toHaveLength(1);
  });
});

it("the edges of a flow are a table with numbers of layers", () => {
  const group = { targets: [token("x"), token("y")], sources: [token("x"), token("y")] } as Group;
  const edges = [{ layer: 1, target: 1, source: 0, share: 0.1 }];
  expect(flowTable({ layers: [3, 7] } as FlowFacts, edges, group)).toBe(
    "layer,target,source,target_token,source_token,share\r\n7,1,0,y,x,0.1\r\n",
  );
});

it("links are a table of both measures, and of gold links", () => {
  const links = { weight: [[1, 0]], norm: [[0, 0]] } as AlignmentFacts["links"];
  const gold = { sure: [[1, 0]], possible: [], rates: {} } as unknown as AlignmentFacts["gold"];
  const shown = { facts: { source: ["das", "Haus"], target: ["house"], links, gold } as AlignmentFacts, arrays: {} };
  const values = Float64Array.of(0.2, 0.5, 0.3);
  const arrays = { weight: { shape: [1, 3], values }, norm: { shape: [1, 3], values } };
  expect(alignmentTable({ ...shown, arrays })).toBe(
    "by,target,source,target_word,source_word,share\r\nweight,0,1,house,Haus,0.5\r\nnorm,0,0,house,das,0.2\r\n" +
      '"gold, sure",0,1,house,Haus,\r\n',
  );
});

it("captions are broken between words", () => {
  expect(wrapped("one two three", 8)).toEqual(["one two", "three"]);
  expect(wrapped("unbreakable", 3)).toEqual(["unbreakable"]);
});
