// A second run beside the first: another text or another model, of which the same is looked at.

import type { Choice } from "./address";
import type { Explorer } from "./explorer.svelte";
import { headsOf, type Group } from "./facts";
import type { Frame } from "./mapFrame";
import type { MapReader } from "./mapReader";
import { matchedTokens, type Match } from "./matching";

/** What of a choice both runs share. */
const SHARED = ["layer", "head", "scope", "measure", "statistic", "without", "scale"] as const;

export class Comparison {
  readonly other!: Explorer;
  private asked = "";
  /** Tokens that are the same in both, of the groups that are shown. */
  readonly targets = $derived.by<Match[]>(() => this.matched("targets"));
  readonly sources = $derived.by<Match[]>(() => (this.explorer.group?.crossed ? this.matched("sources") : this.targets));

  constructor(readonly explorer: Explorer) {
    // its answers may come after the view is gone, so what is derived of them doesn't end with it
    $effect.root(() => void Object.assign(this, { other: explorer.second() }));
  }

  /** Whether the address names a second run. */
  get isChosen(): boolean {
    return Boolean(this.explorer.choice.otherText || this.explorer.choice.otherModel);
  }

  /** Run what the address names, unless it is running or has run. */
  async run(): Promise<void> {
    const { otherModel, otherText, otherTargetText, model, text } = this.explorer.choice;
    const chosen = { model: otherModel || model, text: otherText || text, targetText: otherTargetText };
    const key = JSON.stringify(chosen);
    if (!this.isChosen || key === this.asked) return;
    this.asked = key;
    Object.assign(this.other.choice, chosen);
    this.other.offer = this.explorer.offer;
    await this.other.run(false);
  }

  /** Look at the same head and measure in the second run. */
  async follow(choice: Choice): Promise<void> {
    if (!this.other.overview) return;
    const shared = Object.fromEntries(SHARED.map((name) => [name, choice[name]]));
    await this.other.follow({ ...shared, group: this.explorer.group?.name ?? "", pin: null });
  }

  private matched(side: "targets" | "sources"): Match[] {
    const [first, second] = [this.explorer.group, this.other.group];
    return first && second ? matchedTokens(first[side], second[side]) : [];
  }
}

/** A head whose share of norm, or of weight, differs between two runs. */
export interface Change {
  layer: number;
  head: number;
  before: number;
  after: number;
}

/** The heads whose share of norm differs most; null if the two groups don't have the same heads. */
export function changedHeads(first: Group, second: Group, statistic: string, most: number): Change[] | null {
  const shape = ({ layers, heads }: Group) => JSON.stringify([layers, heads]);
  if (shape(first) !== shape(second)) return null;
  const after = headsOf(second, statistic);
  return headsOf(first, statistic)
    .flatMap(({ place, layer, head, norm }) => (norm === null || after[place]!.norm === null ? [] : [{ layer, head, before: norm, after: after[place]!.norm! }]))
    .sort((a, b) => Math.abs(b.after - b.before) - Math.abs(a.after - a.before))
    .slice(0, most);
}

/** A reader of a map of some tokens, linked to the first run by the places that they have there. */
export class LinkedReader implements MapReader {
  frame: Frame | null = null;

  constructor(
    private readonly explorer: Explorer,
    private readonly first: () => (place: number) => number | null,
    private readonly here: () => (place: number) => number | null,
    private readonly out: () => readonly boolean[] | null,
  ) {}

  get leftOut(): readonly boolean[] | null {
    return this.out();
  }

  get target(): number | null {
    const { target } = this.explorer;
    return target === null ? null : this.here()(target);
  }

  get hovered(): number | null {
    const { hovered } = this.explorer;
    return hovered === null ? null : this.here()(hovered);
  }

  set hovered(place: number | null) {
    this.explorer.hovered = place === null ? null : this.first()(place);
  }

  async pin(place: number | null): Promise<void> {
    const target = place === null ? null : this.first()(place);
    if (target !== null) await this.explorer.pin(target);
  }
}
