import { describe, expect, it } from "vitest";
import { colorScale, colorTable, inkOn, layerColor, rgbOf, stepOf, type Palette, type Theme } from "../src/lib/scales";

const luminance = (color: string): number => {
  const [red, green, blue] = rgbOf(color).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (one: string, other: string): number => {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number];
  return (high + 0.05) / (low + 0.05);
};

describe.each<Theme>(["light", "dark"])("scales on a %s ground", (theme) => {
  it.each<Palette>(["weight", "norm"])("go one way in lightness, so that %s reads without color", (measure) => {
    const scale = colorScale(measure, 0.4, theme);
    const steps = Array.from({ length: 21 }, (_, step) => luminance(scale((0.4 * step) / 20)));
    const turned = theme === "light" ? steps : steps.reverse();
    expect([...turned].sort((a, b) => b - a)).toEqual(turned);
    expect(contrast(scale(0), scale(0.4))).toBeGreaterThan(7);
  });

  it("of differences have the ground in the middle, and two hues", () => {
    const scale = colorScale("difference", 0.4, theme);
    expect(rgbOf(scale(0))).toEqual(rgbOf(colorScale("weight", 1, theme)(0)));
    const [[red, , blue], [redder, , bluer]] = [rgbOf(scale(-0.25)), rgbOf(scale(0.25))];
    expect(blue).toBeGreaterThan(red);
    expect(redder).toBeGreaterThan(bluer);
  });

  it("have ink that can be read on every step", () => {
    for (const measure of ["weight", "norm", "difference"] as const) {
      const scale = colorScale(measure, 1, theme);
      for (let step = -10; step <= 10; step += 1) {
        const color = scale(step / 10);
        expect(contrast(color, inkOn(color))).toBeGreaterThan(4.5);
      }
    }
  });
});

describe("colors by number", () => {
  it("clamp, and map differences around the middle", () => {
    expect([stepOf(0, "weight", 0.5), stepOf(0.5, "weight", 0.5), stepOf(9, "weight", 0.5)]).toEqual([0, 255, 255]);
    expect([stepOf(-1, "difference", 1), stepOf(0, "difference", 1), stepOf(1, "difference", 1)]).toEqual([0, 128, 255]);
    expect(stepOf(0, "norm", 0)).toBe(0);
    expect([...colorTable("weight", "light").slice(0, 3)]).toEqual([255, 255, 255]);
  });

  it("tell layers apart", () => {
    expect(new Set(Array.from({ length: 12 }, (_, place) => layerColor(place, 12, "light"))).size).toBe(12);
    expect(layerColor(0, 1, "dark")).toMatch(/^rgb/);
  });
});
