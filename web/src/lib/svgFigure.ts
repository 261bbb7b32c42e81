// The maps beside each other as one SVG figure: text and axes as vectors, cells as vectors too unless they are too many.

import { LABELS, cellOf, heightOf, labelsOf, type Frame } from "./mapFrame";
import type { Grid } from "./maps";
import { rasterized, type Window } from "./pixels";
import type { Panel } from "./panels";
import type { Token } from "./facts";
import { paints, stepOf } from "./scales";

export interface FigurePanel {
  panel: Panel;
  grid: Grid;
  bound: number;
  low: string;
  high: string;
}

export interface Figure {
  panels: FigurePanel[];
  targets: Token[];
  sources: Token[];
  view: Window;
  leftOut: readonly boolean[] | null;
  caption: string;
}

/** More cells than these are drawn as pixels. */
export const MOST_CELLS = 4_096;
const SIDE = 300;
const [TOP, BOTTOM, GAP] = [44, 62, 20];
const LEFT_OUT = "#e8e8e8";

/** Draws pixels as a picture's address; a browser's canvas does. */
export type Painter = (pixels: Float32Array, frame: Frame, panel: FigurePanel) => string;

export function svgOf(figure: Figure, painter: Painter): string {
  const { view, panels, sources, targets } = figure;
  const height = heightOf(SIDE, targets.length, sources.length);
  const frame: Frame = { side: SIDE, height, view };
  const [width, whole] = [panels.length * (LABELS + SIDE + GAP), TOP + LABELS + height + BOTTOM];
  const labels = labelsOf(frame, targets, sources).map(
    ({ text, x, y, size, isUpright, isTarget }) =>
      `<text x="${n(x)}" y="${n(y)}" font-size="${n(size)}" dominant-baseline="central" text-anchor="${isTarget ? "end" : "start"}"${
        isUpright ? ` transform="rotate(-90 ${n(x)} ${n(y)})"` : ""
      }>${escaped(text)}</text>`,
  );
  const drawn = panels.map((one, place) => panelOf(one, place, frame, labels, figure, painter));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${whole}" viewBox="0 0 ${width} ${whole}" font-family="system-ui, sans-serif" fill="#3a3f45">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    ...drawn,
    `<text x="8" y="${whole - 8}" font-size="11">${escaped(figure.caption)}</text>`,
    "</svg>\n",
  ].join("\n");
}

function panelOf(one: FigurePanel, place: number, frame: Frame, labels: string[], figure: Figure, painter: Painter): string {
  const colors = paints(one.panel.palette, "light");
  const stops = Array.from({ length: 9 }, (_, step) => `<stop offset="${n(step / 8)}" stop-color="${colors[Math.round((255 * step) / 8)]!.color}"/>`);
  const gradient = `scale${place}`;
  const below = LABELS + frame.height;
  return [
    `<g transform="translate(${place * (LABELS + SIDE + GAP)} ${TOP})">`,
    `<text x="${LABELS}" y="-26" font-size="15" font-weight="600">${escaped(one.panel.title)}</text>`,
    `<text x="${LABELS}" y="-8" font-size="12">${escaped(one.panel.formula)}</text>`,
    ...labels,
    cellsOf(one, frame, figure, painter),
    `<rect x="${LABELS}" y="${LABELS}" width="${frame.side}" height="${frame.height}" fill="none" stroke="#9aa1a9"/>`,
    `<linearGradient id="${gradient}">${stops.join("")}</linearGradient>`,
    `<rect x="${LABELS}" y="${below + 12}" width="120" height="10" fill="url(#${gradient})" stroke="#9aa1a9" stroke-width="0.5"/>`,
    `<text x="${LABELS}" y="${below + 36}" font-size="11">${escaped(one.low)}</text>`,
    `<text x="${LABELS + 120}" y="${below + 36}" font-size="11" text-anchor="end">${escaped(one.high)}</text>`,
    "</g>",
  ].join("\n");
}

function cellsOf(one: FigurePanel, frame: Frame, { view, leftOut }: Figure, painter: Painter): string {
  const { grid, bound, panel } = one;
  const [rows, columns] = [span(view.top, view.height, grid.targets), span(view.left, view.width, grid.sources)];
  if (rows.length * columns.length > MOST_CELLS) {
    const pixels = rasterized(grid, view, frame.side, frame.height, leftOut);
    return `<image x="${LABELS}" y="${LABELS}" width="${frame.side}" height="${frame.height}" href="${painter(pixels, frame, one)}"/>`;
  }
  const size = cellOf(frame);
  const colors = paints(panel.palette, "light");
  const cells = rows.flatMap((target) =>
    columns.map((source) => {
      const value = grid.values[target * grid.sources + source]!;
      const fill = leftOut?.[source] || Number.isNaN(value) ? LEFT_OUT : colors[stepOf(value, panel.palette, bound)]!.color;
      const [x, y] = [LABELS + (source - view.left) * size.x, LABELS + (target - view.top) * size.y];
      return `<rect x="${n(x)}" y="${n(y)}" width="${n(size.x)}" height="${n(size.y)}" fill="${fill}"/>`;
    }),
  );
  return `<svg x="${LABELS}" y="${LABELS}" width="${frame.side}" height="${frame.height}" viewBox="${LABELS} ${LABELS} ${frame.side} ${frame.height}" shape-rendering="crispEdges">${cells.join("")}</svg>`;
}

const span = (start: number, size: number, most: number): number[] => {
  const first = Math.max(0, Math.floor(start));
  return Array.from({ length: Math.max(0, Math.min(most, Math.ceil(start + size)) - first) }, (_, place) => first + place);
};

export const n = (value: number): string => String(Math.round(value * 100) / 100);

export const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[letter]!);
