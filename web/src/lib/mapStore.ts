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

const MOST_KEPT = 24;

export const keyOf = ({ run, group, layer, head }: Place, measure: Measure, scope: string): string =>
  [run, group, layer, head ?? "all", measure.name, head === null ? scope : ""].join("/");

export class MapStore {
  private readonly kept = new Map<string, ShownMap>();

  constructor(private readonly transport: Transport) {}

  clear(): void {
    this.kept.clear();
  }

  async map(place: Place, measure: Measure, scope: string): Promise<ShownMap> {
    const key = keyOf(place, measure, scope);
    const kept = this.kept.get(key);
    if (kept) return kept;
    const message = await this.transport.fetchArrays("map", { ...place, measure: measure.name });
    const shown = { key, place, measure, scope, maps: mapsOf(message, measure, scope), message };
    this.kept.set(key, shown);
    if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value!);
    return shown;
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
