"""Word alignment in one call: two sentences, or two lists of sentences, and the links between their words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, overload

from normlens.alignment.aligner import GUIDED_LAYER, Aligner, Alignment, with_layers
from normlens.alignment.defaults import DEFAULT_MODEL, DEFAULT_REVERSE_MODEL
from normlens.alignment.extractor import Extractor
from normlens.alignment.readings import Measure, Reading
from normlens.bitext.corpora import Line
from normlens.bitext.raw_text import Tokenized, split_words
from normlens.engine.tracing.scopes import AttentionScope
from normlens.errors import InvalidInput
from normlens.front_door import load
from normlens.lens import Lens

Sentence = str | Sequence[str]
"""A sentence with words separated by spaces, or a list of its words."""

_READING_MODEL = ("source_language", "target_language", "source_prefix", "lowercase", "batch_size")


@overload
def align(source_text: str, target_text: str, **options: Any) -> Alignment: ...
@overload
def align(source_text: Iterable[Sentence], target_text: Iterable[Sentence], **options: Any) -> list[Alignment]: ...
def align(
    source_text: str | Iterable[Sentence],
    target_text: str | Iterable[Sentence],
    *,
    model: Any = None,
    reverse_model: Any = None,
    layer: int | None = None,
    rule: str | None = None,
    measure: Measure = "norm",
    scope: AttentionScope = "attention",
    setting: str = "awi",
    head: int | None = None,
    symmetrize: str | None = None,
    threshold: float = 0.0,
    balance: float = 0.0,
    tokenize: str | None = None,
    skip_bad: bool = False,
    **options: Any,
) -> Any:
    """Link the words of sentences with those of their translations, as ``normlens align`` does.

    Parameters
    ----------
    source_text, target_text
        A sentence and its translation, or two lists of equal length: strings with words separated by spaces, or lists of
        words.
    model, reverse_model
        Translation models from source to target and back: what :func:`normlens.load` accepts, or a lens, which is loaded
        only once. The default is the two bundled models, German to English and English to German.
    layer
        The layer of cross-attention, from 0. None: chosen by ``rule`` from the first 200 pairs; in the bundled models, the
        layer that was trained to align.
    rule
        One of :data:`RULES`; None: the default for this reading.
    measure, scope, setting, head
        As in :class:`Reading`.
    symmetrize, threshold, balance
        As in :class:`Aligner`; with two models the default is "grow-diag".
    tokenize
        Tokenize raw text into words first, by Moses' rules for two languages, such as "de-en".
    skip_bad
        Whether a pair that can't be aligned yields an alignment without links, with the reason (``skipped``), instead of an
        error.
    **options
        ``source_language``, ``target_language``, ``source_prefix``, ``lowercase`` and ``batch_size`` as in
        :class:`Extractor`; others as in :func:`normlens.load`.

    Returns
    -------
    Alignment or list of Alignment
        The words of both sides, the links between them with their scores, and the soft alignment that the links are read
        from.

    Raises
    ------
    InvalidInput
        If a pair can't be aligned, the two sides differ in length, or an option doesn't exist.
    NormLensError
        As :func:`normlens.load`.
    """
    lines = _lines(source_text, target_text)
    text: Iterable[Line] = lines if tokenize is None else Tokenized(lines, tokenize)
    if rule is not None and layer is not None:
        raise InvalidInput(
            f"Got rule={rule!r}, which chooses a layer, and layer={layer}, which names one. Pass only one of them."
        )
    if model is None and layer is None and rule is None and setting == "awi":
        layer = GUIDED_LAYER
    forward, reverse = _extractors(model, reverse_model, options)
    reading = Reading(layer or 0, measure, scope, setting, head)  # type: ignore[arg-type]  # checked by the reading
    readings = [reading, reading]
    if layer is None:
        choices, text = with_layers(text, forward, reading, reverse, rule)
        readings = [choices[0].reading, choices[-1].reading]
    joint = symmetrize or (None if reverse is None else "grow-diag")
    aligner = Aligner(
        forward, readings[0], reverse, readings[1], symmetrize=joint, threshold=threshold, balance=balance
    )
    alignments = []
    for alignment in aligner.align(text):
        if alignment.skipped is not None and not skip_bad:
            where = "" if isinstance(source_text, str) else f"Pair {alignment.line - 1} (counted from 0): "
            raise InvalidInput(f"{where}{alignment.skipped}")
        alignments.append(alignment)
    return alignments[0] if isinstance(source_text, str) else alignments


def _lines(source: str | Iterable[Sentence], target: str | Iterable[Sentence]) -> list[Line]:
    """The pairs as lines of a parallel text.

    Raises
    ------
    InvalidInput
        If one side is a sentence and the other a list, or they differ in length.
    """
    if isinstance(source, str) != isinstance(target, str):
        raise InvalidInput(
            "One side is a sentence and the other a list; expected two sentences, or two lists of sentences."
        )
    sides = [[side] if isinstance(side, str) else list(side) for side in (source, target)]
    if len(sides[0]) != len(sides[1]):
        raise InvalidInput(
            f"There are {len(sides[0])} sentences and {len(sides[1])} translations; expected one translation for each."
        )
    joined = [[_joined(sentence) for sentence in side] for side in sides]
    return [Line(number, *pair) for number, pair in enumerate(zip(*joined, strict=True), start=1)]


def _joined(sentence: Any) -> str:
    """The sentence as one string, its words separated by spaces."""
    if isinstance(sentence, str):
        return sentence
    words = list(sentence) if isinstance(sentence, Sequence) else [sentence]
    invalid = next((word for word in words if not isinstance(word, str) or split_words(word) != [word]), None)
    if invalid is not None:
        raise InvalidInput(f"{invalid!r} is among the words of a sentence; expected strings without spaces.")
    return " ".join(words)


def _extractors(model: Any, reverse_model: Any, options: dict[str, Any]) -> tuple[Extractor, Extractor | None]:
    """Extractors for the model and for the reverse model, if there is one."""
    if model is None:
        model, reverse_model = DEFAULT_MODEL, reverse_model or DEFAULT_REVERSE_MODEL
    if model is None:
        raise InvalidInput("No model was passed, and this installation bundles none. Pass model=.")
    reading = {name: value for name, value in options.items() if name in _READING_MODEL}
    opening = {name: value for name, value in options.items() if name not in _READING_MODEL}
    forward = Extractor(_lens(model, opening), **reading)
    if reverse_model is None:
        return forward, None
    languages = {"source_language": reading.get("target_language"), "target_language": reading.get("source_language")}
    return forward, Extractor(_lens(reverse_model, opening), **{**reading, **languages, "source_prefix": ""})


def _lens(model: Any, opening: dict[str, Any]) -> Lens:
    """A lens on a model; the bundled ones are loaded only once."""
    if isinstance(model, Lens):
        if opening:
            raise InvalidInput(
                f"{next(iter(opening))}= is an option for loading, but the model is a lens, which is loaded already. Leave "
                "it out."
            )
        return model
    if isinstance(model, str | Path) and str(model) in (DEFAULT_MODEL, DEFAULT_REVERSE_MODEL) and not opening:
        return _bundled(str(model))
    return load(model, **opening)


@cache
def _bundled(name: str) -> Lens:
    return load(name)
