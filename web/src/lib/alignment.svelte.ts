// The words of a text linked with those of its translation.

import type { Explorer } from "./explorer.svelte";
import type { ArrayMessage } from "./protocol";

export type AlignedBy = "weight" | "norm";

export interface AlignmentFacts {
  run: string;
  layer: number;
  layers: number[];
  source: string[];
  target: string[];
  links: Record<AlignedBy, [number, number][]>;
  /** What an annotator linked, for sure or possibly, and how far each measure's links are from it. */
  gold: GoldLinks | null;
}

export interface GoldLinks {
  sure: [number, number][];
  possible: [number, number][];
  rates: Record<AlignedBy, Record<"aer" | "precision" | "recall", number | null>>;
}

/** A link, and the share that the target word takes from the source word. */
export interface WordLink {
  source: number;
  target: number;
  share: number;
  /** Whether the other measure has it too. */
  isShared: boolean;
  /** Whether there are gold links, and it isn't one of them. */
  isWrong: boolean;
}

export function linksOf({ facts, arrays }: ArrayMessage<AlignmentFacts>, by: AlignedBy): WordLink[] {
  const other = new Set(facts.links[by === "norm" ? "weight" : "norm"].map(([source, target]) => `${source}/${target}`));
  const { gold } = facts;
  const right = gold && new Set([...gold.sure, ...gold.possible].map(([source, target]) => `${source}/${target}`));
  const columns = facts.source.length + 1;
  return facts.links[by].map(([source, target]) => ({
    source,
    target,
    share: arrays[by]!.values[target * columns + source]!,
    isShared: other.has(`${source}/${target}`),
    isWrong: right !== null && !right.has(`${source}/${target}`),
  }));
}

/** The sure gold links that a measure lacks. */
export function missedBy(facts: AlignmentFacts, links: WordLink[]): [number, number][] {
  const found = new Set(links.map(({ source, target }) => `${source}/${target}`));
  return facts.gold?.sure.filter(([source, target]) => !found.has(`${source}/${target}`)) ?? [];
}

export class WordAlignment {
  shown = $state.raw<ArrayMessage<AlignmentFacts> | null>(null);
  isBusy = $state(false);
  private key = "";

  constructor(private readonly explorer: Explorer) {}

  /** Ask for the alignment of the chosen layer, unless it is shown. */
  async ask(): Promise<void> {
    const { alignLayer: layer, gold } = this.explorer.choice;
    const run = this.explorer.overview?.facts.run;
    const key = JSON.stringify([run, layer, gold]);
    if (!run || key === this.key) return;
    this.key = key;
    this.isBusy = true;
    const answer = await this.explorer.asked<AlignmentFacts>("align", { ...(layer === null ? {} : { layer }), ...(gold ? { gold } : {}) });
    if (key !== this.key) return;
    this.isBusy = false;
    this.shown = answer;
    if (!answer) this.key = "";
  }
}
