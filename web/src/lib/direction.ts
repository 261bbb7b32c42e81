// The direction of a text, as its first strong letter says.

/** Sets `dir="auto"` once; as an attribute of a template it would be set again with every change, and all tokens styled anew. */
export function ofItsOwnDirection(node: HTMLElement): void {
  node.dir = "auto";
}
