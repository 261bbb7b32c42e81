"""Links drawn between two lines of words, as one self-contained HTML page."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from normlens.figures.style import NORM_COLOR, readable

Cell = tuple[int, int]

_LETTER, _GAP, _MARGIN, _HEIGHT = 8.4, 14.0, 12.0, 118.0  # of the lines of words, in SVG units


@dataclass(frozen=True)
class LinkedPair:
    """A sentence pair with its links, to be drawn.

    Attributes
    ----------
    source, target
        The words.
    links
        Source word, target word, score between 0 and 1, and whether the link is sure.
    title
        Caption above the pair.
    gold
        Annotated links as (source, target), if available: links that aren't among them are drawn in gray.
    """

    source: Sequence[str]
    target: Sequence[str]
    links: Sequence[tuple[int, int, float, bool]]
    title: str = ""
    gold: Collection[Cell] | None = field(default=None)


def links_page(pairs: Sequence[LinkedPair], title: str) -> str:
    """Draw links between two lines of words, pair below pair, as one self-contained HTML page.

    Parameters
    ----------
    pairs
        In the order of the page.
    title
        Heading of the page.

    Returns
    -------
    str
        HTML; strong lines are high scores, dashed ones are only possible. Pointing at a word shows only its links.
    """
    marked = any(pair.gold is not None for pair in pairs)
    key = "Strong lines: high scores. Dashed: only possible."
    key += " Gray: not among the annotated links. Green, dotted: annotated, but missing." if marked else ""
    drawn = "\n".join(_drawn(pair) for pair in pairs)
    return _PAGE.replace("{title}", html.escape(readable(title))).replace("{key}", key).replace("{pairs}", drawn)


def _drawn(pair: LinkedPair) -> str:
    upper, width = _centers(pair.source)
    lower, other = _centers(pair.target)
    extent = max(width, other)
    shifts = (extent - width) / 2, (extent - other) / 2
    tops = [x + shifts[0] for x in upper], [x + shifts[1] for x in lower]
    lines = [
        _line(tops, source, target, score, sure, pair.gold is None or (source, target) in pair.gold)
        for source, target, score, sure in pair.links
    ]
    linked = {(source, target) for source, target, _, _ in pair.links}
    missed = [_path(tops, *cell, 'class="missed"') for cell in sorted(set(pair.gold or ()) - linked)]
    words = [_word(x, 18, word, f"s{k}") for k, (x, word) in enumerate(zip(tops[0], pair.source, strict=True))]
    words += [
        _word(x, _HEIGHT - 8, word, f"t{k}") for k, (x, word) in enumerate(zip(tops[1], pair.target, strict=True))
    ]
    caption = f"<figcaption>{html.escape(readable(pair.title))}</figcaption>" if pair.title else ""
    return (
        f'<figure>{caption}<div class="strip"><svg viewBox="0 0 {extent:.0f} {_HEIGHT:.0f}" width="{extent:.0f}" '
        f'height="{_HEIGHT:.0f}" role="img">{"".join(missed + lines + words)}</svg></div></figure>'
    )


def _centers(words: Sequence[str]) -> tuple[list[float], float]:
    """The center of each word, and the width of the line."""
    centers, left = [], _MARGIN
    for word in words:
        size = _LETTER * sum(1.9 if ord(letter) >= 0x1100 else 1.0 for letter in readable(word))
        centers.append(left + size / 2)
        left += size + _GAP
    return centers, left - _GAP + _MARGIN


def _line(
    tops: tuple[list[float], list[float]], source: int, target: int, score: float, sure: bool, confirmed: bool
) -> str:
    strength = float(np.clip(score, 0.0, 1.0))
    style = f"stroke:{NORM_COLOR if confirmed else '#9A9A9A'};stroke-width:{1 + 2.2 * strength:.2f};"
    style += f"opacity:{0.35 + 0.65 * strength:.2f};" + ("" if sure else "stroke-dasharray:5 3;")
    return _path(tops, source, target, f'class="link" style="{style}"', f"{score:.2f}")


def _path(tops: tuple[list[float], list[float]], source: int, target: int, marks: str, note: str = "missing") -> str:
    above, below = tops[0][source], tops[1][target]
    top, bottom = 25.0, _HEIGHT - 25
    bend = (top + bottom) / 2
    return (
        f'<path {marks} data-s="s{source}" data-t="t{target}" d="M{above:.1f} {top:.0f} C{above:.1f} {bend:.0f} '
        f'{below:.1f} {bend:.0f} {below:.1f} {bottom:.0f}"><title>{source}-{target}: {note}</title></path>'
    )


def _word(x: float, y: float, word: str, name: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.0f}" data-w="{name}">{html.escape(readable(word))}</text>'


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
h1 { font-size: 1.3rem; margin: 0 0 .2rem }
p { margin: 0 0 1.2rem; color: #555 }
figure { margin: 0 0 1.4rem; border-top: 1px solid #e6e6e6; padding-top: .4rem }
figcaption { color: #777; font-size: .85rem }
.strip { overflow-x: auto }
text { font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; text-anchor: middle; fill: #222 }
path { fill: none }
.missed { stroke: #00785A; stroke-width: 1.3; stroke-dasharray: 1.5 3; opacity: .9 }
svg.one path { opacity: .06 !important }
svg.one path.on { opacity: 1 !important }
svg.one text { fill: #aaa }
svg.one text.on { fill: #222; font-weight: bold }
</style>
</head>
<body>
<h1>{title}</h1>
<p>{key} Point at a word to see its links alone.</p>
{pairs}
<script>
for (const svg of document.querySelectorAll("svg")) {
  for (const word of svg.querySelectorAll("text")) {
    word.addEventListener("mouseenter", () => {
      svg.classList.add("one");
      word.classList.add("on");
      for (const path of svg.querySelectorAll("path")) {
        const ends = [path.dataset.s, path.dataset.t];
        if (!ends.includes(word.dataset.w)) continue;
        path.classList.add("on");
        for (const end of ends) svg.querySelector(`text[data-w="${end}"]`).classList.add("on");
      }
    });
    word.addEventListener("mouseleave", () => {
      svg.classList.remove("one");
      for (const marked of svg.querySelectorAll(".on")) marked.classList.remove("on");
    });
  }
}
</script>
</body>
</html>
"""
