// Pictures of the page as one SVG file: what their styles say is written into each element, with a caption below.

import { escaped } from "./svgFigure";

export interface DrawnPicture {
  title: string;
  svg: SVGSVGElement;
}

const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-weight"];
const [EDGE, TOP, LINE, LETTER] = [10, 34, 16, 5.8];

/** The pictures beside each other, in the colors in which they are shown. */
export function drawnFigure(pictures: DrawnPicture[], caption: string): string {
  const ground = getComputedStyle(pictures[0]!.svg.closest(".card")!);
  let [x, height] = [EDGE, 0];
  const drawn = pictures.map(({ title, svg }) => {
    const { width, height: own } = svg.viewBox.baseVal;
    const at = x;
    [x, height] = [x + width + EDGE, Math.max(height, own)];
    return [
      `<text x="${at}" y="22" font-size="15" font-weight="600">${escaped(title)}</text>`,
      `<svg x="${at}" y="${TOP}" width="${width}" height="${own}" viewBox="0 0 ${width} ${own}">${written(svg)}</svg>`,
    ].join("\n");
  });
  const width = Math.max(x, 480);
  const lines = wrapped(caption, Math.floor((width - 2 * EDGE) / LETTER));
  const whole = TOP + height + LINE * lines.length + EDGE;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${whole}" viewBox="0 0 ${width} ${whole}" font-family="system-ui, sans-serif" fill="${ground.color}">`,
    `<rect width="100%" height="100%" fill="${ground.backgroundColor}"/>`,
    ...drawn,
    ...lines.map((line, place) => `<text x="${EDGE}" y="${TOP + height + LINE * (place + 1)}" font-size="11">${escaped(line)}</text>`),
    "</svg>\n",
  ].join("\n");
}

/** The elements of a picture with their styles as attributes, and without what only the page needs. */
function written(svg: SVGSVGElement): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = svg.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((one, place) => {
    if (one.localName === "title") return;
    const style = getComputedStyle(originals[place]!);
    for (const name of STYLES) one.setAttribute(name, style.getPropertyValue(name));
    for (const name of ["class", "role"]) one.removeAttribute(name);
  });
  return [...copy.children].map((one) => new XMLSerializer().serializeToString(one)).join("\n");
}

/** A text in lines of at most so many letters. */
export function wrapped(text: string, letters: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    if (last && last.length + word.length >= letters) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines;
}
