// The answers that a saved page carries: an overview and maps, as the service would send them.

import type { Offer, OverviewFacts, RunState } from "./facts";
import { decoded, Refused, type ArrayMessage, type Facts, type NumberArray, type Transport } from "./protocol";

export class FileTransport implements Transport {
  private constructor(private readonly encoded: Map<string, HTMLElement>) {}

  /** A transport, if the page has data inside. */
  static of(page: Document): FileTransport | null {
    const elements = [...page.querySelectorAll<HTMLElement>("script[data-message]")];
    return elements.length ? new FileTransport(new Map(elements.map((one) => [one.dataset.message ?? "", one]))) : null;
  }

  async ask<T>(operation: string): Promise<T> {
    if (operation === "models") {
      const { model, text, targetText } = this.message<OverviewFacts>("overview").facts;
      return { models: [model], text, targetText, isFile: true } satisfies Offer as T;
    }
    return { run: "file", state: "done", message: "", done: 1, total: 1, seconds: 0 } satisfies RunState as T;
  }

  async fetchArrays<F>(operation: string, args: Facts): Promise<ArrayMessage<F>> {
    if (operation === "overview") return this.message<F>("overview");
    const { group, layer, head, measure } = args as { group: string; layer: number; head: number | null; measure: string };
    const kept = measure === "weighted_norm" ? "vector_norm" : measure;
    const name = `map/${group}/${layer}/${head ?? "all"}/${kept}`;
    if (!this.encoded.has(name)) {
      throw new Refused(
        `This file leaves out the ${measure.replaceAll("_", " ")} of layer ${layer}, because the whole analysis is too large for a page. Open the text with normlens view to see it.`,
        410,
      );
    }
    const message = this.message<F>(name);
    return operation === "row" ? rowOf(message, args.target as number) : message;
  }

  private message<F>(name: string): ArrayMessage<F> {
    const letters = atob(this.encoded.get(name)?.textContent ?? "");
    return decoded<F>(Uint8Array.from(letters, (letter) => letter.charCodeAt(0)).buffer);
  }
}

/** One target of every map; what doesn't depend on the target stays as it is. */
function rowOf<F>({ facts, arrays }: ArrayMessage<F>, target: number): ArrayMessage<F> {
  const [targets, sources] = arrays.weight!.shape as [number, number];
  const row: Record<string, NumberArray> = {};
  for (const [name, one] of Object.entries(arrays)) {
    if (one.shape.length === 2) row[name] = { shape: [sources], values: one.values.slice(target * sources, (target + 1) * sources) };
    else if (one.shape[0] === sources && !name.startsWith("own/")) row[name] = one;
  }
  if (!row.weighted_norm && row.vector_norm && targets) {
    const lengths = row.vector_norm.values;
    row.weighted_norm = { shape: [sources], values: Float32Array.from(row.weight!.values, (alpha, source) => Math.abs(alpha) * lengths[source]!) };
  }
  return { facts, arrays: row };
}
