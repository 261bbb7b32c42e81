// The direction of a text.

import type { Token } from "./facts";

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|[\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** Which way a text runs: as its first letter says that isn't part of a special token. */
export function directionOf(tokens: Token[]): "ltr" | "rtl" {
  for (const { text, category } of tokens) {
    const letter = category === "special" ? null : text.match(/\p{L}/u);
    if (letter) return RIGHT_TO_LEFT.test(letter[0]) ? "rtl" : "ltr";
  }
  return "ltr";
}

/** Sets the direction where it changes; as an attribute of a template it would be set with every change, and all tokens styled anew. */
export function directed(node: HTMLElement, tokens: Token[]): { update: (tokens: Token[]) => void } {
  const update = (now: Token[]) => {
    const direction = directionOf(now);
    if (node.dir !== direction) node.dir = direction;
  };
  update(tokens);
  return { update };
}
