// Which tokens of two texts are the same, and the differences of two maps where they are.

import type { Token } from "./facts";
import type { Grid } from "./maps";

/** The places of a token in the first and in the second text. */
export type Match = readonly [first: number, second: number];

/** How tokenizers mark that a word begins. */
const MARKS = /^[\sĠ▁_]+|\s+$/g;
const wordOf = ({ text }: Token): string => text.replace(MARKS, "") || text;

/** The longest sequence of tokens that both texts have in the same order; marks of a word's beginning don't count. */
export function matchedTokens(first: Token[], second: Token[]): Match[] {
  const [a, b] = [first.map(wordOf), second.map(wordOf)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const [rows, columns] = [a.length - start - end, b.length - start - end];
  const longest = new Uint16Array((rows + 1) * (columns + 1));
  const at = (row: number, column: number) => row * (columns + 1) + column;
  for (let row = rows - 1; row >= 0; row -= 1) {
    for (let column = columns - 1; column >= 0; column -= 1) {
      const isSame = a[start + row] === b[start + column];
      longest[at(row, column)] = isSame ? longest[at(row + 1, column + 1)]! + 1 : Math.max(longest[at(row + 1, column)]!, longest[at(row, column + 1)]!);
    }
  }
  const matches: Match[] = Array.from({ length: start }, (_, place) => [place, place]);
  let [row, column] = [0, 0];
  while (row < rows && column < columns) {
    if (a[start + row] === b[start + column]) matches.push([start + row++, start + column++]);
    else if (longest[at(row + 1, column)]! >= longest[at(row, column + 1)]!) row += 1;
    else column += 1;
  }
  for (let place = end; place > 0; place -= 1) matches.push([a.length - place, b.length - place]);
  return matches;
}

/** The second map minus the first, for the targets and sources that both have. */
export function differenceWhereSame(first: Grid, second: Grid, targets: Match[], sources: Match[]): Grid {
  const values = new Float32Array(targets.length * sources.length);
  let place = 0;
  for (const [one, other] of targets) {
    const [row, column] = [one * first.sources, other * second.sources];
    for (const [left, right] of sources) values[place++] = second.values[column + right]! - first.values[row + left]!;
  }
  return { targets: targets.length, sources: sources.length, values };
}
