// What of a map is drawn in which pixel.

import type { Grid } from "./maps";

/** What of a map is visible, in tokens. */
export interface Window {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Drawn {
  key: string;
  leftOut: readonly boolean[] | null;
  pixels: Float32Array;
}
const drawn = new WeakMap<Grid, Drawn>();

/** The number for each pixel: of its cell, or, where a pixel covers several, the one of largest size. NaN is left out. */
export function rasterized(map: Grid, view: Window, width: number, height: number, leftOut: readonly boolean[] | null): Float32Array {
  const key = [view.left, view.top, view.width, view.height, width, height].join("/");
  const former = drawn.get(map);
  if (former?.key === key && former.leftOut === leftOut) return former.pixels;
  const pixels = pooled(map, view, width, height, leftOut);
  drawn.set(map, { key, leftOut, pixels });
  return pixels;
}

/** First along the sources of each visible target, then along the targets: each number is read about once. */
function pooled(map: Grid, view: Window, width: number, height: number, leftOut: readonly boolean[] | null): Float32Array {
  const columns = spans(view.left, view.width, width, map.sources);
  const rows = spans(view.top, view.height, height, map.targets);
  const isOut = Uint8Array.from({ length: map.sources }, (_, source) => (leftOut?.[source] ? 1 : 0));
  const pixels = new Float32Array(width * height).fill(NaN);
  const line = new Float32Array(width);
  const lineOf = leftOut ? keptLine : wholeLine;
  let last = -1;
  for (let y = 0; y < height; y += 1) {
    const [top, bottom] = [rows[2 * y]!, rows[2 * y + 1]!];
    for (let target = top; target <= bottom; target += 1) {
      if (target !== last) lineOf(map.values, target * map.sources, columns, isOut, line);
      last = target;
      for (let x = 0, place = y * width; x < width; x += 1, place += 1) {
        const value = line[x]!;
        if (!(Math.abs(value) <= Math.abs(pixels[place]!))) pixels[place] = value === value ? value : pixels[place]!;
      }
    }
  }
  return pixels;
}

/** One target's number of largest size for each pixel. */
function wholeLine(values: Float32Array, start: number, columns: Int32Array, _: Uint8Array, line: Float32Array): void {
  for (let x = 0; x < line.length; x += 1) {
    const end = start + columns[2 * x + 1]!;
    let [best, size] = [NaN, -1];
    for (let place = start + columns[2 * x]!; place <= end; place += 1) {
      const value = values[place]!;
      if (Math.abs(value) > size) {
        best = value;
        size = Math.abs(value);
      }
    }
    line[x] = best;
  }
}

/** The same without what is left out. */
function keptLine(values: Float32Array, start: number, columns: Int32Array, isOut: Uint8Array, line: Float32Array): void {
  for (let x = 0; x < line.length; x += 1) {
    let [best, size] = [NaN, -1];
    for (let source = columns[2 * x]!; source <= columns[2 * x + 1]!; source += 1) {
      const value = values[start + source]!;
      if (isOut[source] || !(Math.abs(value) > size)) continue;
      best = value;
      size = Math.abs(value);
    }
    line[x] = best;
  }
}

/** The first and the last cell that each pixel of a side covers, in pairs. */
function spans(start: number, size: number, pixels: number, cells: number): Int32Array {
  const pairs = new Int32Array(2 * pixels);
  const inside = (cell: number) => Math.max(0, Math.min(cell, cells - 1));
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const first = Math.floor(start + (size * pixel) / pixels);
    const last = Math.max(first, Math.ceil(start + (size * (pixel + 1)) / pixels) - 1);
    pairs[2 * pixel] = inside(first);
    pairs[2 * pixel + 1] = inside(size > pixels ? last : first);
  }
  return pairs;
}
