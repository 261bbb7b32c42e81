"""What methods return: labeled arrays over targets and sources, with the question and its checks in their ``attrs``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from normlens.analysis.stored_json import array_text, read_array
from normlens.errors import InvalidInput
from normlens.files.atomic import reason, write_atomically
from normlens.inputs.tokens import Tokens
from normlens.words.text_spans import Spans
from normlens.words.three_lines import paragraph

_SHOWN = 3  # sources with the largest shares in a summary


class Attribution(xr.DataArray):  # type: ignore[no-untyped-call]  # its __init_subclass__ has no types
    """What an attribution returns: an ``xarray.DataArray`` that introduces itself in three lines.

    Signed shares ``(source,)`` of a target, or a map ``(target, source)`` of what sources contribute to positions. A
    selection or a computation without the sources looks like any other array.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(self._summary()) if self._is_whole() else super().__repr__()

    def _repr_html_(self) -> str:
        array: Any = super()  # its HTML has no types
        if not self._is_whole():
            return str(array._repr_html_())
        return paragraph(self._summary()) + self._frame() + str(array._repr_html_())

    def _frame(self) -> str:
        """The highlighted text in a frame of its own, so that a notebook can hold any number of them; empty for vectors."""
        from normlens.figures import highlights_page
        from normlens.figures.framed import framed

        is_text = set(self.dims) <= {"target", "source", "component"} and "source_start" in self.coords
        return framed(highlights_page(self)) if is_text else ""

    def words(self) -> Attribution:
        """Add up the pieces of each word: of sources, and of an answer's tokens, whose shares add up like log-probabilities.

        Returns
        -------
        Attribution
            Of the same dimensions, with one entry for each word and each special token. Totals don't change.
        """
        from normlens.attribution.grouped_sources import by_words

        return cast(Attribution, by_words(self))

    def spans(self, spans: Spans) -> Attribution:
        """Add up shares over spans of the prompt: its sentences, the documents in it, the examples of a few-shot prompt.

        Parameters
        ----------
        spans
            "sentences", "lines", "paragraphs", a regular expression whose matches are the spans, or pairs of first
            character and character after the last, in ``attrs["text"]``.

        Returns
        -------
        Attribution
            One source for each span, ``[rest]`` for what lies in none, and ``[answer]`` for the answer's own tokens. Totals
            don't change.

        Raises
        ------
        InvalidInput
            If spans overlap, lie outside the prompt or divide a token, or the numbers are norms, which don't add up.
        """
        from normlens.attribution.grouped_sources import by_spans
        from normlens.attribution.whole_answers.context_prompt import Grouping

        return cast(Attribution, by_spans(self, Grouping(spans)))

    @overload
    def to_json(self, path: None = None) -> str: ...
    @overload
    def to_json(self, path: str | Path) -> Path: ...
    def to_json(self, path: str | Path | None = None) -> str | Path:
        """Shares, tokens and attributes as JSON text, NaN as null; with ``path``, a file with it, whose path is returned."""
        text = array_text(self)
        return text if path is None else write_atomically(path, text)

    @classmethod
    def from_json(cls, path: str | Path) -> Attribution:
        """Read what :meth:`to_json` or ``normlens attribute -o x.json`` wrote; it can be drawn and added up as before.

        Raises
        ------
        InvalidInput
            If the file isn't an attribution in JSON, or doesn't exist.
        """
        try:
            array = read_array(Path(path))
        except OSError as error:
            raise InvalidInput(
                f"{path} can't be read: {reason(error)}. Expected a file of Attribution.to_json() or of 'normlens "
                "attribute -o FILE.json'."
            ) from error
        except InvalidInput as error:
            raise InvalidInput(f"{path} can't be read as an attribution: {error}") from error
        result = cls(array)
        if not result._is_whole():
            raise InvalidInput(f"{path} can't be read as an attribution: it has no sources or no method.")
        return result

    def _is_whole(self) -> bool:
        return "method" in self.attrs and "source" in self.dims and "source_token" in self.coords and self.size > 0

    def _summary(self) -> tuple[str, str, str]:
        """Three lines: of which text by which model and method, its numbers, what to call next."""
        scope = f", scope {self.attrs['scope']!r}" if self.attrs.get("scope") else ""
        of = f"{self.attrs.get('text', '')[:60]!r} by {self.attrs.get('model', '?')}"
        chosen = ", ".join(f"{name}=…" for name in self.dims if name not in ("source", "feature"))
        series = ".to_series()" if "feature" not in self.dims else ".sel(source=…)"
        draw = "figures.highlights([…]), " if set(self.dims) <= {"target", "source"} else ""
        spans = ".spans(…), " if np.isfinite(self.attrs.get("value", np.nan)) and "units" not in self.attrs else ""
        draw = "figures.answer_map(…), " if "target_value" in self.coords else draw
        return (
            f"<Attribution of {of}: {self.attrs['method']}{scope}>",
            self._shares() if np.isfinite(self.attrs.get("value", np.nan)) else self._sizes(),
            f"Next: {f'.sel({chosen})' if chosen else ''}{series}, {draw}.words(), {spans}.attrs, .values",
        )

    def _sizes(self) -> str:
        sizes = (f"{size} {name}{'' if size == 1 else 's'}" for name, size in self.sizes.items())
        return f"Map: {' × '.join(sizes)}"

    def _shares(self) -> str:
        others = [name for name in self.dims if name != "source"]
        totals = np.asarray(self.sum(others).values, dtype=np.float64)
        order = np.argsort(-np.abs(totals), kind="stable")
        largest = ", ".join(f"{str(self['source_token'].values[k])!r} {totals[k]:.4g}" for k in order[:_SHOWN])
        summed = "".join(f", summed over {self.sizes[name]} {name}s" for name in others)
        value, bias, rest = (self.attrs.get(name, np.nan) for name in ("value", "bias_share", "remainder"))
        return (
            f"Target: {self.attrs.get('target', '?')}, {value:.4g}. Shares of {len(order)} sources{summed}: {largest}"
            f"{', …' if len(order) > _SHOWN else ''}; bias share {bias:.4g}"
            f"{f'; remainder {rest:.4g}' if abs(rest) > 1e-6 * max(1.0, abs(value)) else ''}"
        )


def labels(side: str, tokens: Tokens) -> dict[str, Any]:
    """Coordinates of all positions of a sequence, named as in an analysis.

    Parameters
    ----------
    side
        Name of the dimension: "target" or "source".
    tokens
        The sequence.
    """
    columns = {
        "": np.arange(len(tokens)), "_token": tokens.labels, "_id": tokens.ids, "_word": tokens.words,
        "_category": tokens.categories, "_start": tokens.offsets[:, 0], "_end": tokens.offsets[:, 1],
    }  # fmt: skip
    return {side + suffix: (side, column) for suffix, column in columns.items()}


def joined_labels(sources: Sequence[tuple[str, Tokens]]) -> dict[str, Any]:
    """Coordinates of sources, with a coordinate ``side`` unless all of them belong to the first text.

    Parameters
    ----------
    sources
        "source" or "target" (the text that a decoder reads), and its tokens. Positions and words of the second text are
        numbered after those of the first, so that no word spans both.
    """
    columns = [labels("source", tokens) for _, tokens in sources]
    joined = {name: np.concatenate([column[name][1] for column in columns]) for name in columns[0]}
    joined["source"] = np.arange(len(joined["source"]))
    joined["source_word"] = _counted_through([tokens.words for _, tokens in sources])
    if len(sources) > 1 or sources[0][0] == "target":
        joined["side"] = np.repeat([side for side, _ in sources], [len(tokens) for _, tokens in sources])
    return {name: ("source", column) for name, column in joined.items()}


def _counted_through(words: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    counted, first = [], 0
    for numbers in words:
        counted.append(np.where(numbers < 0, numbers, numbers + first))
        first += int(numbers.max(initial=-1)) + 1
    return np.concatenate(counted)


def shares(values: ArrayLike, sources: Sequence[tuple[str, Tokens]], attrs: Mapping[str, Any]) -> Attribution:
    """Signed shares of one scalar, ``(source,)``.

    Parameters
    ----------
    values
        One number per source, ``(source,)``.
    sources
        Side and tokens of the sources, in their order.
    attrs
        Attributes that the method sets.
    """
    return Attribution(
        np.asarray(values), dims=("source",), coords=joined_labels(sources), attrs=dict(attrs), name="share"
    )


def flow_map(
    values: ArrayLike,
    target: Tokens,
    sources: Tokens | Sequence[tuple[str, Tokens]],
    attrs: Mapping[str, Any],
    layers: Mapping[str, Any] | None = None,
) -> Attribution:
    """A map of what sources contribute to targets, ``(target, source)``; ``layer`` in front, ``feature`` behind.

    Parameters
    ----------
    values
        ``(target, source)``; with ``layers``, ``(layer, target, source)``; for vectors, ``(target, source, feature)``.
    target
        Tokens of the targets.
    sources
        Tokens of the sources, or side and tokens of each text that they come from.
    attrs
        Attributes that the method sets.
    layers
        Coordinates of the dimension ``layer``, such as ``{"layer": numbers, "layer_path": paths}``.
    """
    array = np.asarray(values)
    sides = [("source", sources)] if isinstance(sources, Tokens) else list(sources)
    coords = {**labels("target", target), **joined_labels(sides)}
    dims: tuple[str, ...] = ("target", "source")
    if layers is not None:
        dims = ("layer", *dims)
        coords |= {name: ("layer", np.asarray(column)) for name, column in layers.items()}
    if array.ndim > len(dims):
        dims = (*dims, "feature")
    return Attribution(array, dims=dims, coords=coords, attrs=dict(attrs), name="contribution")
