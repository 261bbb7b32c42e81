// The answers that a saved page carries: an overview and maps, as the service would send them.

import { PAGES, type PageName } from "./address";
import type { Group, Offer, OverviewFacts, RunState, StoredSplit } from "./facts";
import { flowOf, followedScope, type FlowRequest } from "./fileFlow";
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
      const splits = this.stored("attribute/").map((name) => JSON.parse(name) as StoredSplit);
      const alignLayers = this.stored("align/").map(Number);
      const hasFlow = this.groups().some((group) => this.scopeOf(group) && group.layers.every((layer) => this.encoded.has(sumName(group.name, layer))));
      const has: Record<PageName, boolean> = { heads: true, answer: splits.length > 0, flow: hasFlow, alignment: alignLayers.length > 0, comparison: false };
      const pages = PAGES.filter((page) => has[page]);
      return { models: [model], text, targetText, isFile: true, pages, splits, alignLayers } satisfies Offer as T;
    }
    return { run: "file", state: "done", message: "", done: 1, total: 1, seconds: 0 } satisfies RunState as T;
  }

  async fetchArrays<F>(operation: string, args: Facts): Promise<ArrayMessage<F>> {
    if (operation === "overview") return this.message<F>("overview");
    if (operation === "flow") return this.flow(args) as ArrayMessage<F>;
    if (operation === "attribute") return this.looked<F>("attribute/", splitName(args));
    if (operation === "align") return this.looked<F>("align/", String(args.layer));
    const { group, layer, head, measure } = args as { group: string; layer: number; head: number | null; measure: string };
    const kept = measure === "weighted_norm" ? "vector_norm" : measure;
    const name = `map/${group}/${layer}/${head ?? "all"}/${kept}`;
    const message = this.kept<F>(name, `the ${measure.replaceAll("_", " ")} of layer ${layer}`);
    return operation === "row" ? rowOf(message, args.target as number) : message;
  }

  /** A map that may have been left out. */
  private kept<F>(name: string, what: string): ArrayMessage<F> {
    if (this.encoded.has(name)) return this.message<F>(name);
    throw new Refused(`This file leaves out ${what}, because the whole analysis is too large for a page. Open the text with normlens view to see it.`, 410);
  }

  private groups(): Group[] {
    return this.message<OverviewFacts>("overview").facts.groups;
  }

  private scopeOf(group: Group): string | null {
    return followedScope(group, this.groups().some((one) => one.crossed));
  }

  private flow(args: Facts): ArrayMessage<unknown> {
    const group = this.groups().find((one) => one.name === args.group)!;
    const maps = (layer: number) => this.kept<Facts>(sumName(group.name, layer), `the norms of layer ${layer}`);
    return flowOf(group, this.scopeOf(group), maps, args as unknown as FlowRequest);
  }

  /** What was looked at before the page was saved: the one of this name, or the first. */
  private looked<F>(kind: string, name: string): ArrayMessage<F> {
    return this.message<F>(this.encoded.has(kind + name) ? kind + name : kind + this.stored(kind)[0]);
  }

  private stored(kind: string): string[] {
    return [...this.encoded.keys()].filter((name) => name.startsWith(kind)).map((name) => name.slice(kind.length));
  }

  private message<F>(name: string): ArrayMessage<F> {
    const letters = atob(this.encoded.get(name)?.textContent ?? "");
    return decoded<F>(Uint8Array.from(letters, (letter) => letter.charCodeAt(0)).buffer);
  }
}

const sumName = (group: string, layer: number): string => `map/${group}/${layer}/all/norm`;

/** A split's name, as JSON in ASCII. */
export function splitName({ method, place, token, against }: Facts): string {
  const json = JSON.stringify([method, place ?? null, token ?? "", against ?? ""]);
  return json.replace(/[\u007f-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
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
