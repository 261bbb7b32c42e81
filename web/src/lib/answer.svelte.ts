// What the model says, and the share of each token in it.

import type { Explorer } from "./explorer.svelte";
import type { Token } from "./facts";
import type { ArrayMessage } from "./protocol";

export interface AnswerFacts {
  run: string;
  /** What the model's head says: "next" and "masked" say tokens, "none" stands for a model without a head. */
  head: "classes" | "tags" | "answer" | "masked" | "next" | "none";
  method: string;
  place: number | null;
  target: string;
  value: number | null;
  biasShare: number | null;
  conservationError: number | null;
  rule: string;
  note: string;
  /** The last source that the model has read where it says this. */
  last: number;
  sides: Token[][];
  expected: { id: number; text: string; isName: boolean; probability: number }[];
}

/** Methods whose shares belong to tokens, and whether these and the bias share add up to the value. */
export const METHODS: { name: string; label: string; isExact: boolean }[] = [
  { name: "decompx", label: "DecompX (adds up)", isExact: true },
  { name: "alti_logit", label: "ALTI-Logit", isExact: false },
  { name: "gradient_input", label: "gradient × input", isExact: false },
  { name: "integrated_gradients", label: "integrated gradients", isExact: false },
];

export interface Share {
  token: Token;
  /** Among the sources of both texts, and in its own text. */
  source: number;
  place: number;
  side: number;
  value: number;
}

/** The shares with their tokens, in the order of the texts. */
export function sharesOf({ facts, arrays }: ArrayMessage<AnswerFacts>): Share[] {
  const values = arrays.shares!.values;
  let source = 0;
  return facts.sides.flatMap((tokens, side) => tokens.map((token, place) => ({ token, place, side, value: values[source]!, source: source++ })));
}

/** What speaks for the target, and what against it: the sums of the shares of either sign. */
export function balance(shares: Share[]): { for: number; against: number } {
  const total = (sign: number) => shares.reduce((sum, { value }) => sum + (value * sign > 0 ? value : 0), 0);
  return { for: total(1), against: total(-1) };
}

export interface Sum {
  name: string;
  value: number | null;
}

/** What the target adds up to: what speaks for it, against it, what belongs to no token, and last all of it. */
export function sumsOf(facts: AnswerFacts, shares: Share[]): Sum[] {
  const totals = balance(shares);
  const isExact = METHODS.find((one) => one.name === facts.method)?.isExact ?? false;
  return [
    { name: "tokens that speak for it", value: totals.for },
    { name: "tokens that speak against it", value: totals.against },
    { name: isExact ? "bias, which belongs to no token" : "rest, which this method gives to no token", value: facts.biasShare },
    { name: `together: ${facts.target}`, value: facts.value },
  ];
}

export class Answer {
  shown = $state.raw<ArrayMessage<AnswerFacts> | null>(null);
  isBusy = $state(false);
  private key = "";

  constructor(private readonly explorer: Explorer) {}

  /** Ask for the split that is chosen, unless it is shown. */
  async ask(): Promise<void> {
    const { method, place, said, against } = this.explorer.choice;
    const run = this.explorer.overview?.facts.run;
    const key = JSON.stringify([run, method, place, said, against]);
    if (!run || key === this.key) return;
    this.key = key;
    this.isBusy = true;
    const answer = await this.explorer.asked<AnswerFacts>("attribute", { method, place, token: said, against });
    if (key !== this.key) return;
    this.isBusy = false;
    this.shown = answer;
    if (!answer) this.key = "";
  }
}

/** A number with its sign, in two digits after the point. */
export function signed(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return "–";
  const digits = Math.abs(value).toFixed(2);
  return digits === "0.00" ? "0.00" : `${value < 0 ? "−" : "+"}${digits}`;
}
