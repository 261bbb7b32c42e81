// The split of what a model says as one SVG file: the colored text, the scale, and what the shares add up to.

import { signed, type AnswerFacts, type Share } from "./answer.svelte";
import { directionOf } from "./direction";
import { wrapped } from "./drawnFigure";
import { paints, stepOf } from "./scales";
import { escaped, n } from "./svgFigure";

const [EDGE, LABELS, WIDTH, LINE, HEIGHT, FONT] = [12, 66, 760, 32, 24, 15];

/** How wide a token is, in pixels of the font in which it is written. */
export type Ruler = (text: string, size: number) => number;

export function answerFigure(facts: AnswerFacts, shares: Share[], sums: { name: string; value: number | null }[], caption: string, widthOf: Ruler): string {
  const most = Math.max(...shares.map(({ value }) => Math.abs(value)), 1e-12);
  const paint = paints("share", "light");
  const texts: string[] = [];
  let y = EDGE + 26;
  for (const [side, tokens] of facts.sides.entries()) {
    const isLeft = directionOf(tokens) === "rtl";
    texts.push(`<text x="${EDGE}" y="${y + 17}" font-size="12" fill="#59616b">${facts.sides.length === 1 ? "text" : side ? "target" : "source"}</text>`);
    let x = 0;
    for (const { token, source, value, place } of shares.filter((share) => share.side === side)) {
      const width = widthOf(token.text, FONT) + 8;
      x += token.joined || !place ? 0 : 5;
      if (x + width > WIDTH && x > 0) [x, y] = [0, y + LINE];
      const left = EDGE + LABELS + (isLeft ? WIDTH - x - width : x);
      const isUnread = source > facts.last;
      const { color, ink } = isUnread ? { color: "none", ink: "#8a919a" } : paint[stepOf(value, "share", most)]!;
      texts.push(
        `<g><title>${escaped(`${token.text}: ${isUnread ? "not read yet" : signed(value)}`)}</title><rect x="${n(left)}" y="${y}" width="${n(width)}" height="${HEIGHT}" rx="4" fill="${color}"/><text x="${n(left + width / 2)}" y="${y + 17}" font-size="${FONT}" text-anchor="middle" fill="${ink}">${escaped(token.text)}</text></g>`,
      );
      x += width;
    }
    y += LINE + 6;
  }
  const scale = y + 8;
  const stops = Array.from({ length: 17 }, (_, step) => `<stop offset="${n(step / 16)}" stop-color="${paint[Math.round((255 * step) / 16)]!.color}"/>`);
  y = scale + 44;
  const lines = sums.map(({ name, value }, place) => {
    const at = y + 20 * place;
    const weight = place === sums.length - 1 ? ' font-weight="600"' : "";
    return `<text x="${EDGE + LABELS}" y="${at}" font-size="13"${weight}>${escaped(name)}</text><text x="${EDGE + LABELS + 520}" y="${at}" font-size="13" text-anchor="end"${weight}>${escaped(signed(value))}</text>`;
  });
  y += 20 * sums.length + 12;
  const captions = wrapped(caption, 130).map((line, place) => `<text x="${EDGE}" y="${y + 16 * place}" font-size="11">${escaped(line)}</text>`);
  const [width, height] = [WIDTH + LABELS + 2 * EDGE, y + 16 * captions.length];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" fill="#1b1f24">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${EDGE}" y="${EDGE + 10}" font-size="15" font-weight="600">${escaped(`Shares of each token in the ${facts.target}`)}</text>`,
    ...texts,
    `<linearGradient id="shares">${stops.join("")}</linearGradient>`,
    `<rect x="${EDGE + LABELS}" y="${scale}" width="240" height="10" fill="url(#shares)" stroke="#9aa1a9" stroke-width="0.5"/>`,
    `<text x="${EDGE + LABELS}" y="${scale + 23}" font-size="11">${escaped(`against it ${signed(-most)}`)}</text>`,
    `<text x="${EDGE + LABELS + 240}" y="${scale + 23}" font-size="11" text-anchor="end">${escaped(`for it ${signed(most)}`)}</text>`,
    ...lines,
    ...captions,
    "</svg>\n",
  ].join("\n");
}
