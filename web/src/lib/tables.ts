// The views that aren't maps as CSV, with all digits.

import { linksOf, type AlignmentFacts } from "./alignment.svelte";
import type { AnswerFacts, Share } from "./answer.svelte";
import { csvOf, type Field } from "./csv";
import type { Group } from "./facts";
import type { Edge, FlowFacts } from "./flow.svelte";
import type { ArrayMessage } from "./protocol";

/** A row for each token, and one for what belongs to no token; nothing for tokens that the model hasn't read. */
export function answerTable(facts: AnswerFacts, shares: Share[]): string {
  const nameOf = (side: number) => (facts.sides.length === 1 ? "text" : side ? "target" : "source");
  const rows: Field[][] = shares.map(({ side, place, token, source, value }) => [
    nameOf(side),
    place,
    token.text,
    token.category,
    source > facts.last ? null : value,
  ]);
  return csvOf(["side", "position", "token", "category", "share"], [...rows, ["none", null, "", "bias", facts.biasShare]]);
}

/** A row for each edge that is drawn, from the last layer to the text. */
export function flowTable(facts: FlowFacts, edges: Edge[], group: Group): string {
  const rows = edges.map(({ layer, target, source, share }) => [
    facts.layers[layer]!,
    target,
    source,
    group.targets[target]!.text,
    group.sources[source]!.text,
    share,
  ]);
  return csvOf(["layer", "target", "source", "target_token", "source_token", "share"], rows);
}

/** A row for each link of either measure, and of an annotator. */
export function alignmentTable(shown: ArrayMessage<AlignmentFacts>): string {
  const { source: sources, target: targets, gold } = shown.facts;
  const row = (by: string, source: number, target: number, share: number | null): Field[] => [by, target, source, targets[target]!, sources[source]!, share];
  const rows = (["weight", "norm"] as const).flatMap((by) => linksOf(shown, by).map(({ source, target, share }) => row(by, source, target, share)));
  for (const kind of gold ? (["sure", "possible"] as const) : []) {
    rows.push(...gold![kind].map(([source, target]) => row(`gold, ${kind}`, source, target, null)));
  }
  return csvOf(["by", "target", "source", "target_word", "source_word", "share"], rows);
}
