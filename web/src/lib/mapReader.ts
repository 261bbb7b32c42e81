// What a map needs of whoever looks at it.

import type { Frame } from "./mapFrame";

export interface MapReader {
  readonly leftOut: readonly boolean[] | null;
  /** The target that the text is about: under the pointer, or pinned. */
  readonly target: number | null;
  hovered: number | null;
  frame: Frame | null;
  pin(target: number | null): Promise<void>;
}
