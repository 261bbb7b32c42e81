import { describe, expect, it, vi } from "vitest";
import type { Token } from "../src/lib/facts";
import { panelsOf } from "../src/lib/panels";
import { MOST_CELLS, svgOf, type Figure } from "../src/lib/svgFigure";

const measure = { name: "weighted_norm", label: "weighted norm", short: "norm", formula: "‖α f(x)‖", signed: false };
const tokens = (count: number): Token[] => Array.from({ length: count }, (_, place) => ({ text: `<t${place}&`, category: "other", joined: false }));
const figure = (count: number): Figure => ({
  panels: panelsOf(measure, "‖α f(x)‖", true).map((panel) => ({
    panel,
    grid: { targets: count, sources: count, values: new Float32Array(count * count).fill(0.5) },
    bound: 1,
    low: "0",
    high: "100 %",
  })),
  targets: tokens(count),
  sources: tokens(count),
  view: { left: 0, top: 0, width: count, height: count },
  leftOut: null,
  caption: "a <caption>",
});
class NarrowLetters {
  getContext = () => ({ font: "", measureText: (text: string) => ({ width: 5 * text.length }) });
}
vi.stubGlobal("OffscreenCanvas", NarrowLetters);
const never = () => expect.unreachable();

describe("a figure", () => {
  it("has a rectangle for each cell and a text for each token, escaped", () => {
    const svg = svgOf(figure(3), never);
    expect(svg.match(/crispEdges/g)).toHaveLength(3);
    expect(svg.match(/<rect [^>]*fill="rgb/g)).toHaveLength(27);
    expect(svg.match(/&lt;t1&amp;<\/text>/g)).toHaveLength(6);
    expect(svg).toContain("a &lt;caption&gt;");
    expect(svg).not.toContain("<t1");
  });

  it("shows what is left out in gray", () => {
    const svg = svgOf({ ...figure(2), leftOut: [true, false] }, never);
    expect(svg.match(/fill="#e8e8e8"/g)).toHaveLength(6);
  });

  it("shows only what is in view", () => {
    const svg = svgOf({ ...figure(4), view: { left: 1, top: 0, width: 2, height: 2 } }, never);
    expect(svg.match(/<rect [^>]*fill="rgb/g)).toHaveLength(12);
  });

  it("has pixels where cells are too many", () => {
    const count = Math.ceil(Math.sqrt(MOST_CELLS)) + 1;
    const svg = svgOf(figure(count), (pixels) => `data:${pixels.length}`);
    expect(svg.match(/<image /g)).toHaveLength(3);
    expect(svg).toContain("sources →");
  });
});
