// Where a map's cells and labels are, in pixels: for the screen, and for figures that are saved.

import type { Token } from "./facts";
import type { Window } from "./pixels";
import { colorTable, stepOf, type Palette, type Theme } from "./scales";

/** Room for the labels, left of a map and above it. */
export const LABELS = 68;
const SMALLEST_LABELED = 9;
const FONT = "system-ui, sans-serif";

/** A map in the rectangle from (LABELS, LABELS) to (LABELS + side, LABELS + height). */
export interface Frame {
  side: number;
  height: number;
  view: Window;
}

export interface Label {
  text: string;
  x: number;
  y: number;
  size: number;
  isUpright: boolean;
  isTarget: boolean;
}

/** Both sides have cells of one size, unless one text is much longer than the other. */
export const heightOf = (side: number, targets: number, sources: number): number =>
  Math.round(side * Math.min(1.4, Math.max(0.3, targets / sources)));

export const cellOf = ({ side, height, view }: Frame): { x: number; y: number } => ({ x: side / view.width, y: height / view.height });

/** The names of the visible tokens, or of the sides where tokens are too small to be named. */
export function labelsOf(frame: Frame, targets: Token[], sources: Token[]): Label[] {
  const { view } = frame;
  const size = cellOf(frame);
  const fontOf = (cell: number) => Math.min(12, Math.max(8, cell * 0.8));
  const labels: Label[] = [];
  if (size.y < SMALLEST_LABELED) labels.push({ text: "targets ↓", x: LABELS - 4, y: LABELS + 8, size: 12, isUpright: false, isTarget: true });
  else {
    for (let place = Math.floor(view.top); place < view.top + view.height && targets[place]; place += 1) {
      const y = LABELS + (place + 0.5 - view.top) * size.y;
      if (y < LABELS || y > LABELS + frame.height) continue;
      labels.push({ text: targets[place]!.text, x: LABELS - 4, y, size: fontOf(size.y), isUpright: false, isTarget: true });
    }
  }
  if (size.x < SMALLEST_LABELED) labels.push({ text: "sources →", x: LABELS, y: LABELS - 10, size: 12, isUpright: false, isTarget: false });
  else {
    for (let place = Math.floor(view.left); place < view.left + view.width && sources[place]; place += 1) {
      const x = LABELS + (place + 0.5 - view.left) * size.x;
      if (x < LABELS || x > LABELS + frame.side) continue;
      labels.push({ text: sources[place]!.text, x, y: LABELS - 4, size: fontOf(size.x), isUpright: true, isTarget: false });
    }
  }
  return labels.map((label) => ({ ...label, text: fitting(label.text, label.size) }));
}

export function drawLabels(context: CanvasRenderingContext2D, labels: Label[]): void {
  context.textBaseline = "middle";
  for (const { text, x, y, size, isUpright, isTarget } of labels) {
    context.font = `${size}px ${FONT}`;
    context.textAlign = isTarget ? "right" : "left";
    context.save();
    context.translate(x, y);
    if (isUpright) context.rotate(-Math.PI / 2);
    context.fillText(text, 0, 0);
    context.restore();
  }
}

let ruler: OffscreenCanvasRenderingContext2D | null = null;
const fitted = new Map<string, string>();

/** How wide a text is in pixels. */
export function widthOf(text: string, size: number): number {
  ruler ??= new OffscreenCanvas(1, 1).getContext("2d");
  if (!ruler) return 0.6 * size * text.length;
  ruler.font = `${size}px ${FONT}`;
  return ruler.measureText(text).width;
}

/** The beginning of a token that fits beside the map. */
function fitting(text: string, size: number): string {
  const key = `${size.toFixed(1)}/${text}`;
  const kept = fitted.get(key);
  if (kept !== undefined) return kept;
  const letters = [...text];
  let shown = text;
  while (letters.length > 1 && widthOf(shown, size) > LABELS - 6) {
    letters.pop();
    shown = `${letters.join("")}…`;
  }
  if (fitted.size > 20_000) fitted.clear();
  fitted.set(key, shown);
  return shown;
}

/** Numbers as colored pixels; what is left out is gray. */
export function imageOf(pixels: Float32Array, frame: Frame, palette: Palette, bound: number, theme: Theme): ImageData {
  const image = new ImageData(frame.side, frame.height);
  const colors = packedColors(palette, theme);
  const blank = theme === "dark" ? 0xff303030 : 0xffe8e8e8;
  const words = new Uint32Array(image.data.buffer);
  for (let place = 0; place < pixels.length; place += 1) {
    const value = pixels[place]!;
    words[place] = Number.isNaN(value) ? blank : colors[stepOf(value, palette, bound)]!;
  }
  return image;
}

/** The 256 colors of a scale as the four bytes of a pixel: red, green, blue, opaque. */
function packedColors(palette: Palette, theme: Theme): Uint32Array {
  const table = colorTable(palette, theme);
  const bytes = new Uint8Array(4 * 256).fill(255);
  for (let step = 0; step < 256; step += 1) bytes.set(table.subarray(3 * step, 3 * step + 3), 4 * step);
  return new Uint32Array(bytes.buffer);
}
