import { describe, expect, it } from "vitest";
import { MapStore, type Place } from "../src/lib/mapStore";
import type { Measure } from "../src/lib/measures";
import type { ArrayMessage, Facts, Transport } from "../src/lib/protocol";

const moving: Measure = { name: "weighted_norm", label: "weighted norm", short: "norm", formula: "", signed: false };
const at = (head: number): Place => ({ run: "r", group: "g", layer: 0, head });

/** Answers with maps of a size, and counts the requests. */
class Counting implements Transport {
  heads: unknown[] = [];

  constructor(private readonly side: number) {}

  ask<T>(): Promise<T> {
    throw new Error("not asked for");
  }

  async fetchArrays<F>(_: string, args: Facts): Promise<ArrayMessage<F>> {
    this.heads.push(args.head);
    if (args.head === 99) throw new Error("refused");
    const { side } = this;
    const weight = { shape: [side, side], values: new Float32Array(side * side).fill(1 / side) };
    return { facts: {} as F, arrays: { weight, vector_norm: { shape: [side], values: new Float32Array(side).fill(1) } } };
  }
}

describe("maps that were looked at", () => {
  it("are asked for once, also while they are coming", async () => {
    const transport = new Counting(2);
    const store = new MapStore(transport);
    const [first, second] = await Promise.all([store.map(at(1), moving, ""), store.map(at(1), moving, "")]);
    expect(first).toBe(second);
    expect(await store.map(at(1), moving, "")).toBe(first);
    expect(transport.heads).toEqual([1]);
    expect(store.has(at(1), moving, "")).toBe(true);
    expect(store.has(at(2), moving, "")).toBe(false);
  });

  it("are asked for again after a failure", async () => {
    const transport = new Counting(2);
    const store = new MapStore(transport);
    await expect(store.map(at(99), moving, "")).rejects.toThrow("refused");
    await expect(store.map(at(99), moving, "")).rejects.toThrow("refused");
    expect(transport.heads).toEqual([99, 99]);
  });

  it("are dropped when they are too many together, those used longest ago first", async () => {
    const store = new MapStore(new Counting(3000)); // 36 million numbers each, of 100 million
    await store.map(at(1), moving, "");
    await store.map(at(2), moving, "");
    await store.map(at(1), moving, "");
    await store.map(at(3), moving, "");
    expect([1, 2, 3].map((head) => store.has(at(head), moving, ""))).toEqual([true, false, true]);
  });
});
