// Colors: blue for weights, orange for norms (Okabe and Ito's tones), which people with color deficiencies can tell apart.

import { interpolateRgb, piecewise } from "d3-interpolate";
import { scaleDiverging, scaleSequential } from "d3-scale";
import { interpolateCividis } from "d3-scale-chromatic";

/** Blue and orange from zero up, or both ways from zero; shares of what is said are blue for it, orange against it. */
export type Palette = "weight" | "norm" | "difference" | "share";
export type Theme = "light" | "dark";

const ramps: Record<Theme, Record<Palette, string[]>> = {
  light: {
    weight: ["#ffffff", "#c6ddee", "#5fa4d0", "#0072b2", "#003a5c"],
    norm: ["#ffffff", "#f9d9c2", "#eb9a62", "#d55e00", "#6e3000"],
    difference: ["#003a5c", "#0072b2", "#9cc6e2", "#ffffff", "#f2bb94", "#d55e00", "#6e3000"],
    share: ["#6e3000", "#d55e00", "#f2bb94", "#ffffff", "#9cc6e2", "#0072b2", "#003a5c"],
  },
  dark: {
    weight: ["#1a1d21", "#12384f", "#0f6ba3", "#4fb0ea", "#d3ecff"],
    norm: ["#1a1d21", "#4d2409", "#a8500f", "#f08a3c", "#ffe3cc"],
    difference: ["#d3ecff", "#4fb0ea", "#0f4f78", "#1a1d21", "#7c3b0b", "#f08a3c", "#ffe3cc"],
    share: ["#ffe3cc", "#f08a3c", "#7c3b0b", "#1a1d21", "#0f4f78", "#4fb0ea", "#d3ecff"],
  },
};

/** Whether a palette goes both ways from zero. */
export const isSigned = (palette: Palette): boolean => palette === "difference" || palette === "share";

/** The color of a share, up to the largest one; differences from −largest to largest. */
export function colorScale(palette: Palette, largest: number, theme: Theme): (share: number) => string {
  const ramp = piecewise(interpolateRgb, ramps[theme][palette]);
  const most = largest > 0 ? largest : 1;
  return isSigned(palette)
    ? scaleDiverging<string>([-most, 0, most], ramp).clamp(true)
    : scaleSequential<string>([0, most], ramp).clamp(true);
}

export type Rgb = [number, number, number];

export function rgbOf(color: string): Rgb {
  const digits = color.match(/[\d.]+/g);
  if (color.startsWith("#")) return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)) as Rgb;
  return (digits ?? ["0", "0", "0"]).slice(0, 3).map(Number) as Rgb;
}

/** 256 colors from the lowest to the highest number of a scale, for drawing pixels. */
export function colorTable(palette: Palette, theme: Theme): Uint8ClampedArray {
  const scale = colorScale(palette, 1, theme);
  const lowest = isSigned(palette) ? -1 : 0;
  const table = new Uint8ClampedArray(256 * 3);
  for (let step = 0; step < 256; step += 1) table.set(rgbOf(scale(lowest + ((1 - lowest) * step) / 255)), 3 * step);
  return table;
}

/** Which of the 256 colors a number has. */
export function stepOf(value: number, palette: Palette, largest: number): number {
  const most = largest > 0 ? largest : 1;
  const share = isSigned(palette) ? (value / most + 1) / 2 : value / most;
  return Math.round(255 * Math.min(Math.max(share, 0), 1));
}

/** Black or white, whichever is easier to read on a color (WCAG's relative luminance). */
export function inkOn(color: string): string {
  const [red, green, blue] = rgbOf(color).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.179 ? "#000000" : "#ffffff";
}

/** The color of a layer, from the first to the last. */
export const layerColor = (place: number, layers: number, theme: Theme): string => {
  const share = layers > 1 ? place / (layers - 1) : 0.5;
  return interpolateCividis(theme === "dark" ? 0.3 + 0.7 * share : 0.9 * share);
};

const painted = new Map<string, { color: string; ink: string }[]>();

/** The 256 colors of a scale with the ink for each, for coloring many tokens at once. */
export function paints(palette: Palette, theme: Theme): { color: string; ink: string }[] {
  const key = `${palette}/${theme}`;
  const kept = painted.get(key);
  if (kept) return kept;
  const table = colorTable(palette, theme);
  const made = Array.from({ length: 256 }, (_, step) => {
    const color = `rgb(${table[3 * step]} ${table[3 * step + 1]} ${table[3 * step + 2]})`;
    return { color, ink: inkOn(color) };
  });
  painted.set(key, made);
  return made;
}
