import { describe, expect, it } from "vitest";
import { emptiest, headsOf, leftOut, mean, percent, points, type Group } from "../src/lib/facts";
import { largest, rowOf } from "../src/lib/maps";
import { mapsOf, measured, type Measure } from "../src/lib/measures";
import { rasterized } from "../src/lib/pixels";
import { decoded } from "../src/lib/protocol";

const weight = { shape: [2, 2], values: Float32Array.of(0.9, 0.1, 0.5, 0.5) };
const vectorNorm = { shape: [2], values: Float32Array.of(1, 9) };
const moving: Measure = { name: "weighted_norm", label: "weighted norm", short: "norm", formula: "‖α f(x)‖", signed: false };
const message = { facts: {}, arrays: { weight, vector_norm: vectorNorm } };

describe("maps", () => {
  it("are shares of their rows: of α, of α‖f‖, and their difference", () => {
    const { weight: alpha, moved: norm, difference } = mapsOf(message, moving, "");
    expect([...alpha.values]).toEqual([...weight.values]);
    expect(norm.values[0]).toBeCloseTo(0.9 / 1.8);
    expect(norm.values[3]).toBeCloseTo(4.5 / 5);
    expect(difference.values[2]).toBeCloseTo(0.1 - 0.5);
  });

  it("count weight that goes to no source", () => {
    const sunk = { shape: [1, 2], values: Float32Array.of(0.2, 0.2) };
    const { weight: alpha } = mapsOf({ facts: {}, arrays: { weight: sunk, vector_norm: vectorNorm } }, moving, "");
    expect([...alpha.values].map((x) => x.toFixed(1))).toEqual(["0.2", "0.2"]);
  });

  it("keep signed shares as they are, and repeat what doesn't depend on the target", () => {
    const signed: Measure = { ...moving, name: "contribution_weight", signed: true };
    const stored = { shape: [2, 2], values: Float32Array.of(1.5, -0.5, 0.25, 0.75) };
    const { moved, difference } = mapsOf({ facts: {}, arrays: { weight, contribution_weight: stored } }, signed, "");
    expect([...moved.values]).toEqual([...stored.values]);
    expect(difference.values[1]).toBeCloseTo(-0.5 - 0.1);
    expect([...measured(message, "vector_norm", "")]).toEqual([1, 9, 1, 9]);
    const row = { facts: {}, arrays: { weight: { shape: [2], values: Float32Array.of(0.9, 0.1) }, vector_norm: vectorNorm } };
    expect([...measured(row, "vector_norm", "")]).toEqual([1, 9]);
  });

  it("of all heads are those of the chosen scope", () => {
    const arrays = { weight, "norm/attention": weight, "norm/residual": { shape: [2, 2], values: Float32Array.of(1, 3, 1, 1) } };
    expect(mapsOf({ facts: {}, arrays }, { ...moving, name: "norm" }, "residual").moved.values[1]).toBeCloseTo(0.75);
  });

  it("have a largest number among what is kept, and a mean row", () => {
    const { weight: alpha, difference } = mapsOf(message, moving, "");
    expect(largest(alpha, null)).toBeCloseTo(0.9);
    expect(largest(alpha, [true, false])).toBeCloseTo(0.5);
    expect(largest(difference, null)).toBeCloseTo(0.4);
    expect(rowOf(alpha, null)[0]).toBeCloseTo(0.7);
    expect(rowOf(alpha, 1)[0]).toBeCloseTo(0.5);
  });

  it("are drawn cell by cell, or by the largest number where a pixel covers several", () => {
    const grid = { targets: 2, sources: 4, values: Float32Array.of(0, 1, -5, 2, 3, 0, 0, 0) };
    const whole = { left: 0, top: 0, width: 4, height: 2 };
    expect([...rasterized(grid, whole, 4, 2, null)]).toEqual([...grid.values]);
    expect([...rasterized(grid, whole, 2, 1, null)]).toEqual([3, -5]);
    expect([...rasterized(grid, whole, 8, 2, null)].slice(0, 4)).toEqual([0, 0, 1, 1]);
    expect([...rasterized(grid, { left: 2, top: 0, width: 2, height: 1 }, 2, 1, null)]).toEqual([-5, 2]);
    expect([...rasterized(grid, whole, 4, 1, [false, false, true, false])]).toEqual([3, 1, NaN, 2]);
    expect([...rasterized(grid, whole, 4, 1, [true, false, false, false])]).toEqual([NaN, 1, -5, 2]);
    expect([...rasterized(grid, whole, 4, 1, null)]).toEqual([3, 1, -5, 2]);
  });

  it("are drawn as the largest number of all cells that a pixel covers, whatever the zoom", () => {
    const [targets, sources] = [37, 53];
    const values = Float32Array.from({ length: targets * sources }, (_, place) => Math.sin(7 * place) * (place % 11 ? 1 : NaN));
    for (const view of [
      { left: 0, top: 0, width: sources, height: targets },
      { left: 3.4, top: 9.7, width: 31.2, height: 20.1 },
    ]) {
      const pixels = rasterized({ targets, sources, values }, view, 8, 5, null);
      for (let pixel = 0; pixel < pixels.length; pixel += 1) {
        const [x, y] = [pixel % 8, Math.floor(pixel / 8)];
        let best = 0;
        for (let target = Math.floor(view.top + (view.height * y) / 5); target < view.top + (view.height * (y + 1)) / 5; target += 1) {
          for (let source = Math.floor(view.left + (view.width * x) / 8); source < view.left + (view.width * (x + 1)) / 8; source += 1) {
            const value = values[target * sources + source]!;
            if (Math.abs(value) > Math.abs(best)) best = value;
          }
        }
        expect(pixels[pixel]).toBe(best);
      }
    }
  });
});

describe("messages", () => {
  it("are read as they are written: header, then little-endian arrays", () => {
    const header = JSON.stringify({
      layer: 3,
      arrays: {
        half: { dtype: "float16", shape: [3], offset: 0, scale: 2 },
        single: { dtype: "float32", shape: [1], offset: 8, scale: 1 },
        bytes: { dtype: "uint8", shape: [2], offset: 16, scale: 1 },
      },
    });
    const padded = header.padEnd(Math.ceil((header.length + 4) / 8) * 8 - 4);
    const data = new Uint8Array(4 + padded.length + 24);
    new DataView(data.buffer).setUint32(0, padded.length, true);
    data.set(new TextEncoder().encode(padded), 4);
    // 1.5 is 0x3e00, NaN 0x7e00, and 2^-24, the smallest number, 0x0001
    data.set([0x00, 0x3e, 0x00, 0x7e, 0x01, 0x00], 4 + padded.length);
    new DataView(data.buffer).setFloat32(4 + padded.length + 8, 0.1, true);
    data.set([7, 255], 4 + padded.length + 16);
    const { facts, arrays } = decoded<{ layer: number }>(data.buffer);
    expect(facts.layer).toBe(3);
    expect([...arrays.half!.values]).toEqual([3, NaN, 2 * 2 ** -24]);
    expect([...arrays.single!.values]).toEqual([Math.fround(0.1)]);
    expect([...arrays.bytes!.values]).toEqual([7, 255]);
  });
});

describe("facts", () => {
  const group = {
    layers: [0, 2],
    heads: [1, 2],
    amount: [1, 2, 3],
    shares: { s: { weight: [0.1, 0.9, null], norm: [0.2, 0.1, null] } },
  } as unknown as Group;

  it("lay heads out layer by layer, and name the emptiest", () => {
    const heads = headsOf(group, "s");
    expect(heads.map(({ layer, head, place }) => [layer, head, place])).toEqual([[0, 0, 0], [2, 0, 1], [2, 1, 2]]);
    expect(emptiest(heads)).toMatchObject({ layer: 2, head: 0, weight: 0.9 });
  });

  it("leave out the first and the special tokens", () => {
    const token = (category: "special" | "other") => ({ text: "", category, joined: false });
    expect(leftOut([token("other"), token("other"), token("special")])).toEqual([true, false, true]);
  });

  it("are written with a digit more where they are small", () => {
    expect([0.384, 0.0712, 0, NaN, -0.5, 0.0996, 1].map(percent)).toEqual(["38 %", "7.1 %", "0 %", "–", "−50 %", "10 %", "100 %"]);
    expect([0.2, -0.051, 0.00001].map(points)).toEqual(["+20", "−5.1", "0.0"]);
    expect(mean([0.5, null, 1])).toBe(0.75);
  });
});
