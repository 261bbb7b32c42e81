"""Quality of models whose attention keeps k sources, passage by passage: the measurements of `reproduce.topk.table`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from normlens import Lens, topk
from normlens.errors import InvalidInput
from normlens.loading import sentences
from normlens.topk.needs import Passages, cut_into_passages, quality_of
from reproduce.data.classified_texts import DataSplit

CHOICES = ("weight", "norm", "random", "recent")
DENOMINATORS = ("renormalized", "full")

Row = dict[str, Any]
Keep = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Setting:
    """A setting of top-k attention for a model.

    Attributes
    ----------
    by, denominator
        One of `CHOICES` and one of `DENOMINATORS`.
    k
        Sources per target.
    layer
        The only switched layer; None: all layers.
    """

    by: str
    denominator: str
    k: int
    layer: int | None = None

    @property
    def name(self) -> str:
        """The key of its numbers."""
        return f"{self.by} {self.denominator} {self.k}" + ("" if self.layer is None else f" layer {self.layer}")

    def use(self, model: Any) -> topk.TopKUse:
        """Switch a model, until it is restored."""
        layers = None if self.layer is None else [self.layer]
        measure, keep = (self.by, "largest") if self.by in topk.MEASURES else ("weight", self.by)
        renormalize = self.denominator == "renormalized"
        return topk.use(model, self.k, measure, keep=keep, renormalize=renormalize, layers=layers)


def grid(ks: Sequence[int], others: Sequence[int] | None = None) -> list[Setting]:
    """By weight and by norm with both denominators at each k; at random and by nearness at every second k."""
    others = ks[::2] if others is None else others
    return [
        Setting(by, denominator, k)
        for by in CHOICES
        for denominator in DENOMINATORS
        for k in (ks if by in ("weight", "norm") else others)
    ]


def layer_grid(k: int, layers: int) -> list[Setting]:
    """One layer switched at a time, by weight and by norm, with both denominators."""
    return [
        Setting(by, denominator, k, layer)
        for layer in range(layers)
        for by in ("weight", "norm")
        for denominator in DENOMINATORS
    ]


def powers_of_two(tokens: int) -> list[int]:
    """1, 2, 4, … below the number of tokens, and that number."""
    return [1 << exponent for exponent in range(tokens.bit_length()) if 1 << exponent < tokens] + [tokens]


def read_text(file: Path | None) -> str:
    """The text of the passages: a file, or the concatenated bundled sentences.

    Raises
    ------
    InvalidInput
        If the file can't be read.
    """
    if file is None:
        return " ".join(sentences())
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{file} can't be read ({error}). Expected a text in UTF-8, or a treebank in CoNLL-U."
        ) from error
    marked = "# text = "
    lines = text.splitlines()
    if file.suffix == ".conllu":
        lines = [line.removeprefix(marked) for line in lines if line.startswith(marked)]
    return " ".join(line.strip() for line in lines if line.strip())


def passages_of(lens: Lens, file: Path | None, tokens: int, limit: int) -> Passages:
    """Passages of a model."""
    return cut_into_passages(lens, read_text(file), tokens, limit)


def over_passages(
    lens: Lens, passages: Passages, settings: Sequence[Setting], earlier: Mapping[str, Any], keep: Keep, batch: int = 1
) -> Row:
    """Measure every passage with every setting; earlier measurements are reused.

    Parameters
    ----------
    lens, passages
        The model and its passages.
    settings
        Settings of top-k attention.
    earlier
        Earlier results, returned or kept.
    keep
        Called with all results so far after each batch.
    batch
        Passages per forward pass.
    """
    names = [_fingerprint(ids) for ids in passages.ids]
    by_passage = {row["passage"]: row for row in earlier.get("rows", []) if row["passage"] in names}
    result: Row = {"tokens": passages.tokens, "seconds": earlier.get("seconds", 0.0) if by_passage else 0.0}
    for first in range(0, len(names), batch):
        start = time.perf_counter()
        own = [by_passage.setdefault(name, {"passage": name, "cells": {}}) for name in names[first : first + batch]]
        missing = [setting for setting in settings if any(setting.name not in row["cells"] for row in own)]
        if missing:
            _measure(lens, passages.ids[first : first + batch], missing, own)
        rows = [by_passage[name] for name in names if name in by_passage]
        seconds = round(result["seconds"] + time.perf_counter() - start, 1)
        result = {**result, "passages": len(rows), "rows": rows, "seconds": seconds}
        keep(result)
    return result


def _measure(lens: Lens, ids: torch.Tensor, settings: Sequence[Setting], rows: Sequence[Row]) -> None:
    """Write the numbers of one batch to its rows."""
    quality = quality_of(lens.model, ids)
    for place, row in enumerate(rows):
        row["dense"] = {name: float(values[place]) for name, values in quality.dense.items()}
    for setting in settings:
        torch.manual_seed(0)
        with setting.use(lens):
            now = quality.now()
        for place, row in enumerate(rows):
            row["cells"][setting.name] = {name: round(float(values[place]), 6) for name, values in now.items()}


def _fingerprint(ids: torch.Tensor) -> str:
    return hashlib.sha1(ids.numpy().tobytes()).hexdigest()[:12]


def classified(
    lens: Lens, split: DataSplit, settings: Sequence[Setting], earlier: Mapping[str, Any], keep: Keep, batch: int = 32
) -> Row:
    """The texts that a classifier gets right, dense and with every setting; kept settings aren't measured again.

    Parameters
    ----------
    lens
        A classifier.
    split
        Texts and their classes.
    settings, earlier, keep
        As for `over_passages`; "right" has 0 or 1 per text.
    batch
        Texts per forward pass, short ones first.
    """
    same = earlier.get("texts") == len(split)
    result: Row = {"texts": len(split), "right": dict(earlier["right"]) if same else {}}
    result["seconds"] = earlier.get("seconds", 0.0) if same else 0.0
    batches = list(_batches(lens, split, batch))
    result["tokens"] = float(np.mean([length for inputs, _ in batches for length in inputs["attention_mask"].sum(1)]))
    for setting in (None, *settings):
        name = "dense" if setting is None else setting.name
        if name in result["right"]:
            continue
        start = time.perf_counter()
        right = np.zeros(len(split), dtype=int)
        torch.manual_seed(0)
        use = None if setting is None else setting.use(lens)
        for inputs, places in batches:
            with torch.no_grad():
                predicted = lens.model(**inputs).logits.argmax(-1).numpy()
            right[places] = predicted == np.asarray(split.labels)[places]
        if use is not None:
            use.undo()
        result["right"][name] = "".join(map(str, right))
        result["seconds"] = round(result["seconds"] + time.perf_counter() - start, 1)
        keep(result)
    return result


def _batches(lens: Lens, split: DataSplit, size: int) -> Iterator[tuple[Mapping[str, torch.Tensor], np.ndarray]]:
    """Batches of texts of similar length, with their indices."""
    tokenizer = lens.tokenizer
    assert tokenizer is not None
    order = np.argsort([len(text) for text in split.texts], kind="stable")
    for start in range(0, len(order), size):
        places = order[start : start + size]
        yield tokenizer([split.texts[k] for k in places], padding=True, return_tensors="pt"), places


def values(result: Mapping[str, Any], name: str, number: str) -> np.ndarray:
    """One number of one setting, for every passage."""
    return np.array([row["cells"][name][number] for row in result["rows"]])
