"""Where the words of a highlighted text stand: lines, headings and scales, all in points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normlens.errors import InvalidInput
from normlens.figures.scored_text import ScoredText
from normlens.figures.wrapping import Box, text_width, wrapped

POINTS_PER_INCH = 72.0
MARGIN = 14.0
WORD, NUMBER, SMALL = 11.0, 7.0, 7.5  # sizes of letters
HEAD, BOX, LINE = 15.0, 17.0, 31.0  # height of a heading, of a word's box, and from line to line
HEAD_SIZES = (10.5, 8.5)  # letters of the first heading and of the others
SCALES, NOTE_LINE = 36.0, 14.0  # height of the scales, and of the note below them
SCALE, SCALE_STEP = 140.0, 190.0  # width of a scale, and from one to the next
NOTE = "gray, slanted: special tokens, not colored"
QUIET = "#666666"

_NARROWEST, _WIDEST = 400.0, 640.0  # of a new figure
_PADDING, _GAP, _JOINED_GAP, _APART_GAP = 5.0, 4.0, 0.6, 14.0
_BELOW_HEAD, _BELOW_BLOCK = 6.0, 4.0
_WIDEST_NAME = 140.0
_MOST_NUMBERS, _LEAST = 4, 0.02  # words with numbers below them, and their least strength


@dataclass(frozen=True)
class PlacedText:
    """One text with its words placed; the boxes of what belongs to no source follow them.

    Attributes
    ----------
    text
        The text.
    boxes
        One per word, and one per entry of `text.apart`.
    """

    text: ScoredText
    boxes: list[Box]

    @classmethod
    def of(cls, text: ScoredText, reserved: Mapping[int, float], room: float) -> PlacedText:
        """Place the words on lines of width `room`; `reserved` words are at least this wide, for the number below them."""
        widths = [
            max(text_width(word.text, WORD) + _PADDING, reserved.get(k, 0.0)) for k, word in enumerate(text.words)
        ]
        widths += [text_width(f"{name} {text.written(x)}", SMALL + 1) + 2 * _PADDING for name, x in text.apart]
        gaps = [_JOINED_GAP if word.joined else _GAP for word in text.words] + [_APART_GAP] * len(text.apart)
        starts = [k > 0 and word.side != text.words[k - 1].side for k, word in enumerate(text.words)]
        return cls(text, wrapped(widths, gaps, room, starts + [False] * len(text.apart)))

    @property
    def width(self) -> float:
        """Of the widest line."""
        return max((box.left + box.width for box in self.boxes), default=0.0)

    @property
    def height(self) -> float:
        """From the top of the first line to that of the next block."""
        return LINE * (max((box.line for box in self.boxes), default=0) + 1) + _BELOW_BLOCK


@dataclass(frozen=True)
class TextLayout:
    """Headings, texts and scales, placed.

    Attributes
    ----------
    head
        Lines above the texts, each with its style.
    blocks
        The texts, from the top.
    column
        Width of the methods' names on the left; 0 for one method alone.
    width, height
        What all of it takes.
    note_below
        Whether the note on special tokens has a line of its own below the scales.
    """

    head: list[tuple[str, dict[str, str]]]
    blocks: list[PlacedText]
    column: float
    width: float
    height: float
    note_below: bool

    @property
    def top(self) -> float:
        """Where the first text begins."""
        return MARGIN + HEAD * len(self.head) + _BELOW_HEAD

    @classmethod
    def of(cls, texts: Sequence[ScoredText], title: str, room: tuple[float, float] | None) -> TextLayout:
        """Place texts in a room of some width and height, or in one that suits them.

        Raises
        ------
        InvalidInput
            If the room is too small.
        """
        column = _column(texts) if len(texts) > 1 else 0.0
        head = _heading(texts, title)
        line = (_WIDEST if room is None else room[0]) - 2 * MARGIN - column
        blocks = [PlacedText.of(text, _reserved(texts, text), line) for text in texts]
        wide = [*(column + block.width for block in blocks), _scales_width(texts)]
        used = max(wide + [text_width(text, HEAD_SIZES[0], bold=True) for text, _ in head])
        note = SCALE_STEP - SCALE + text_width(NOTE, SMALL) if has_special(texts) else 0.0
        with_note = _scales_width(texts) + note
        natural = min(max(max(used, with_note) + 2 * MARGIN, _NARROWEST), _WIDEST)
        note_below = with_note + 2 * MARGIN > (natural if room is None else room[0])
        height = 2 * MARGIN + HEAD * len(head) + _BELOW_HEAD + sum(block.height for block in blocks) + SCALES
        layout = cls(head, blocks, column, natural, height + (NOTE_LINE if note_below else 0.0), note_below)
        return layout if room is None else layout._within(room, max(wide) + 2 * MARGIN)

    def _within(self, room: tuple[float, float], needed: float) -> TextLayout:
        """The same layout in a room; `needed` is the least width of its words and scales."""
        if needed > room[0] + 1 or self.height > room[1] + 1:
            seen, expected = (
                f"{width / POINTS_PER_INCH:.1f} × {height / POINTS_PER_INCH:.1f}"
                for width, height in (room, (max(needed, room[0]), self.height))
            )
            raise InvalidInput(
                f"The text has {seen} inches; at this width it needs {expected}. Make the figure or the axes larger "
                "(plt.subplots(figsize=…)), or show fewer attributions."
            )
        return TextLayout(self.head, self.blocks, self.column, *room, self.note_below)


def numbered(text: ScoredText) -> set[int]:
    """Words with numbers below them: the strongest, unless they are close to zero, and special tokens."""
    strongest = [k for k in text.strongest(_MOST_NUMBERS) if abs(text.strength(text.words[k])) >= _LEAST]
    return {*strongest, *(k for k, word in enumerate(text.words) if word.is_special)}


def has_special(texts: Sequence[ScoredText]) -> bool:
    """Whether any text has special tokens."""
    return any(word.is_special for text in texts for word in text.words)


def below_name(text: ScoredText) -> str:
    """What a method explains, in short: the value, or which target's sources these are."""
    if text.balance:
        return f"{text.written(text.value, sign=False)} {text.unit}"
    scope = text.name.partition(" ")[2].strip("()").removeprefix("scope ")
    return ", ".join([*([scope] if scope else []), text.explained.split(" (")[0]])


def _reserved(texts: Sequence[ScoredText], text: ScoredText) -> dict[int, float]:
    """Room for numbers below words, of whichever method, so that the same words are aligned from block to block."""
    names = [word.text for word in text.words]
    alike = [other for other in texts if [word.text for word in other.words] == names]
    return {
        k: max(text_width(other.written(other.words[k].share), NUMBER) for other in alike) + 2
        for k in {k for other in alike for k in numbered(other)}
    }


def _heading(texts: Sequence[ScoredText], title: str) -> list[tuple[str, dict[str, str]]]:
    """Lines above the words, each with its style."""
    explained = [text.explained for text in texts if text.balance] or [texts[0].explained]
    lines: list[tuple[str, dict[str, str]]] = [(line, {}) for line in (title, explained[0]) if line]
    if len(texts) == 1:
        lines.append(
            (f"{texts[0].name}: {texts[0].balance or texts[0].note or 'sources of this position'}", {"color": QUIET})
        )
    first, style = lines[0]
    return [(first, {**style, "weight": "bold"}), *lines[1:]]


def _column(texts: Sequence[ScoredText]) -> float:
    """Width of the methods' names beside the words."""
    names = [text_width(text.name.split()[0], 9, bold=True) for text in texts]
    return min(max([*names, *(text_width(below_name(text), SMALL) for text in texts)]), _WIDEST_NAME) + 14


def _scales_width(texts: Sequence[ScoredText]) -> float:
    """Width of the scales, one for each kind of number."""
    return 10 + SCALE + SCALE_STEP * (len({text.signed for text in texts}) - 1)
