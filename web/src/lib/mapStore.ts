// Maps and rows as the service sends them; the maps that were looked at last are kept.

import { mapsOf, measured, type Measure, type ShownMaps } from "./measures";
import type { ArrayMessage, NumberArray, Transport } from "./protocol";

/** Which map: a head of a layer, or all heads together. */
export interface Place {
  run: string;
  group: string;
  layer: number;
  head: number | null;
}

export interface ShownMap {
  key: string;
  place: Place;
  measure: Measure;
  scope: string;
  maps: ShownMaps;
  message: ArrayMessage<unknown>;
}

/** One target's numbers, exactly as they were measured. */
export interface ExactRow {
  key: string;
  target: number;
  weight: NumberArray["values"];
  vectorNorm: NumberArray["values"] | null;
  moved: NumberArray["values"];
}

/** Numbers that the kept maps may have together: 400 MB in single precision. */
const MOST_NUMBERS = 100_000_000;

export const keyOf = ({ run, group, layer, head }: Place, measure: Measure, scope: string): string =>
  [run, group, layer, head ?? "all", measure.name, head === null ? scope : ""].join("/");

export class MapStore {
  private readonly kept = new Map<string, ShownMap>();
  private readonly coming = new Map<string, Promise<ShownMap>>();

  constructor(private readonly transport: Transport) {}

  clear(): void {
    this.kept.clear();
    this.coming.clear();
  }

  has(place: Place, measure: Measure, scope: string): boolean {
    return this.kept.has(keyOf(place, measure, scope));
  }

  async map(place: Place, measure: Measure, scope: string): Promise<ShownMap> {
    const key = keyOf(place, measure, scope);
    const kept = this.kept.get(key);
    if (kept) {
      this.keep(kept);
      return kept;
    }
    const coming = this.coming.get(key) ?? this.fetched(key, place, measure, scope);
    this.coming.set(key, coming);
    try {
      return await coming;
    } finally {
      if (this.coming.get(key) === coming) this.coming.delete(key);
    }
  }

  private async fetched(key: string, place: Place, measure: Measure, scope: string): Promise<ShownMap> {
    const message = await this.transport.fetchArrays("map", { ...place, measure: measure.name });
    const shown = { key, place, measure, scope, maps: mapsOf(message, measure, scope), message };
    this.keep(shown);
    return shown;
  }

  /** Keep a map as the one used last, and drop those used longest ago until the rest fits. */
  private keep(shown: ShownMap): void {
    this.kept.delete(shown.key);
    this.kept.set(shown.key, shown);
    let numbers = 0;
    for (const one of this.kept.values()) numbers += numbersOf(one);
    for (const [key, one] of this.kept) {
      if (numbers <= MOST_NUMBERS || key === shown.key) break;
      this.kept.delete(key);
      numbers -= numbersOf(one);
    }
  }

  async row({ key, place, measure, scope }: ShownMap, target: number): Promise<ExactRow> {
    const message = await this.transport.fetchArrays("row", { ...place, measure: measure.name, target });
    const { weight, vector_norm: vectorNorm } = message.arrays;
    return {
      key: `${key}/${target}`,
      target,
      weight: weight!.values,
      vectorNorm: vectorNorm?.values ?? null,
      moved: measured(message, measure.name, scope),
    };
  }
}

const numbersOf = ({ maps, message }: ShownMap): number =>
  3 * maps.weight.values.length + Object.values(message.arrays).reduce((sum, one) => sum + one.values.length, 0);
