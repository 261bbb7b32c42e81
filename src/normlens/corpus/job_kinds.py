"""What a run computes of each text: an analysis or an attribution, as rows of a table and as numbers for the statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from normlens.analysis.reductions import named_reduction
from normlens.corpus.align_job import AlignJob
from normlens.corpus.corpus_row import TextRow
from normlens.corpus.text_results import Skips, TextNumbers, TextResult, joined_columns
from normlens.errors import InvalidInput
from normlens.lens import Lens
from normlens.statistics import TokenFrequency, mean_of_present, text_numbers
from normlens.statistics.collection import Numbers
from normlens.words import sources_by_category


class Job(Protocol):
    """What is computed of each text."""

    def check(self, lens: Lens) -> None:
        """Refuse a model that can't be asked this, before any work."""

    def results(self, lens: Lens, texts: Sequence[TextRow], skip: Skips) -> Iterator[tuple[int, TextResult]]:
        """The results of a batch, with their places in it; texts that can't be computed are passed to ``skip``."""


@dataclass(frozen=True)
class AnalyzeJob:
    """Analyze texts.

    Attributes
    ----------
    through, product, truncate
        As in :meth:`normlens.Lens.stream`.
    reduce
        None: one row for each layer of a text, with the numbers of a report (means over heads). The name of a reduction:
        one row for each of its entries, such as a target.
    group
        The kind of attention; None: all.
    frequency
        Ranks of token frequency for the correlations within each text; None: there are none.
    """

    through: str = "attention"
    product: str = "half"
    truncate: bool = False
    reduce: str | None = None
    group: str | None = None
    frequency: TokenFrequency | None = None

    def check(self, lens: Lens) -> None:
        """Refuse an unknown reduction, or a kind of attention that the model hasn't."""
        named_reduction(self.reduce)
        if not isinstance(self.reduce, str | None):
            raise InvalidInput("A run keeps the name of a reduction, so that others can repeat it; pass a name.")

    def results(self, lens: Lens, texts: Sequence[TextRow], skip: Skips) -> Iterator[tuple[int, TextResult]]:
        """One result for each text that can be read."""
        places = _Places(len(texts), skip)
        options: dict[str, Any] = {"through": self.through, "product": self.product, "truncate": self.truncate}
        analyses = lens.stream(
            [row.input for row in texts], _targets(lens, texts), batch_size=len(texts), progress=False,
            skip=places.skip, **options,
        )  # fmt: skip
        for analysis in analyses:
            place = places.following()
            if self.group is not None and self.group not in analysis.groups:
                raise InvalidInput(f"{lens.name} has no group {self.group}; it has {', '.join(analysis.groups)}.")
            numbers, columns, tokens = {}, [], 0
            for kind in analysis.groups if self.group is None else [self.group]:
                data = analysis[kind].data
                numbers[kind] = _numbers_of(data, self.frequency)
                tokens = max(tokens, data.sizes["target"])
                own = _layer_rows(numbers[kind]) if self.reduce is None else _reduced_rows(data, self.reduce)
                columns.append({"group": [kind] * len(own["layer"]), **own})
                columns[-1]["tokens"] = np.full(len(own["layer"]), data.sizes["target"])
            yield place, TextResult(joined_columns(columns), numbers, tokens, "truncated" in analysis.attrs)


@dataclass(frozen=True)
class AttributeJob:
    """Attribute a prediction in each text.

    Attributes
    ----------
    method, scope, target, product, truncate
        As in :meth:`normlens.Lens.attribute`; the target is the same for every text, or None.
    """

    method: str = "decompx"
    scope: str | None = None
    target: str | None = None
    product: str = "half"
    truncate: bool = False

    def check(self, lens: Lens) -> None:
        """Nothing: the first text shows whether the model can be asked this."""

    def results(self, lens: Lens, texts: Sequence[TextRow], skip: Skips) -> Iterator[tuple[int, TextResult]]:
        """One result for each text that can be read."""
        places, targets = _Places(len(texts), skip), _targets(lens, texts)
        options: dict[str, Any] = {"method": self.method, "scope": self.scope, "target": self.target}
        options |= {"truncate": self.truncate, "product": self.product, "target_text": targets, "skip": places.skip}
        inputs: Any = [row.input for row in texts]
        attributions = lens.attribute(inputs, batch_size=len(texts), progress=False, **options)
        for shares in attributions:
            if "target" in shares.dims:
                raise InvalidInput(
                    f"{self.method} gives a map for {lens.name}, not shares of a prediction, which a run over a corpus "
                    "keeps. Choose a method and a model that predict something."
                )
            yield places.following(), _attributed(shares)


KINDS: Mapping[str, type[AnalyzeJob] | type[AttributeJob] | type[AlignJob]] = {
    "analyze": AnalyzeJob,
    "attribute": AttributeJob,
    "align": AlignJob,
}
"""Jobs by the name of their kind."""


def job_of(settings: Mapping[str, Any], frequency: TokenFrequency | None = None) -> Job:
    """The job that a plan describes, with the token frequencies of an analysis.

    Raises
    ------
    InvalidInput
        If there is no such kind.
    """
    options = dict(settings)
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise InvalidInput(f"kind is {kind!r}; expected one of {', '.join(KINDS)}.")
    if kind == "analyze":
        options["frequency"] = frequency
    return KINDS[kind](**options)


class _Places:
    """Places in a batch of the results that follow one another, without those of skipped texts."""

    def __init__(self, count: int, skip: Skips) -> None:
        self._left, self._skip = iter(range(count)), skip
        self._skipped: set[int] = set()

    def skip(self, skipped: Any) -> None:
        number, why = skipped
        self._skipped.add(number)
        self._skip(number, why)

    def following(self) -> int:
        return next(place for place in self._left if place not in self._skipped)


def _targets(lens: Lens, texts: Sequence[TextRow]) -> list[str] | None:
    if not lens.model.config.is_encoder_decoder:
        return None
    return [row.target_text or "" for row in texts]


def _numbers_of(data: xr.Dataset, frequency: TokenFrequency | None) -> TextNumbers:
    error = float("nan")
    if "conservation_error" in data:
        errors = data["conservation_error"].values
        error = float(np.nanmax(errors)) if np.isfinite(errors).any() else error
    layers, heads = (data[name].values.tolist() for name in ("layer", "head"))
    return TextNumbers(layers, heads, text_numbers(data, frequency), error, data)


def _layer_rows(numbers: TextNumbers) -> dict[str, Any]:
    columns: dict[str, Any] = {"layer": np.array(numbers.layers)}
    for (quantity, category), values in numbers.numbers.items():
        by_layer = mean_of_present(values, axis=1) if values.ndim == 2 else values
        columns[f"{quantity}_{category}".replace(" ", "_")] = by_layer
    return columns


def _reduced_rows(data: xr.Dataset, reduce: str) -> dict[str, Any]:
    """Rows by layer and whatever else the summaries depend on; a summary over heads has rows without a head.

    What is kept by scope becomes a column for each scope.
    """
    reduction = named_reduction(reduce)
    assert reduction is not None
    layers = []
    for layer in data["layer"].values.tolist():
        reduced = reduction(data.sel(layer=layer, drop=True))
        tokens = [name for name in ("target_token", "source_token") if name in reduced.coords]
        reduced = reduced.drop_vars([x for x in reduced.coords if x not in reduced.dims and x not in tokens])
        by_dimensions: dict[tuple[str, ...], dict[str, xr.DataArray]] = {}
        for name, values in _without_scopes(reduced).items():
            by_dimensions.setdefault(tuple(sorted(map(str, values.dims))), {})[name] = values
        frames = [xr.Dataset(variables).to_dataframe().reset_index() for variables in by_dimensions.values()]
        layers.append(pd.concat(frames, ignore_index=True).assign(layer=layer))
    frame = pd.concat(layers, ignore_index=True)
    labels = [name for name in ("layer", "head", "target", "source", "category", "rank") if name in frame]
    integers = {name: "Int64" for name in labels if name not in ("layer", "category")}
    frame = frame[[*labels, *(name for name in frame if name not in labels)]].astype(integers)
    return {
        str(name): frame[name].to_numpy(dtype=None) if name not in integers else frame[name].tolist() for name in frame
    }


def _without_scopes(reduced: xr.Dataset) -> dict[str, xr.DataArray]:
    variables: dict[str, xr.DataArray] = {}
    for name, values in reduced.data_vars.items():
        if "scope" not in values.dims:
            variables[str(name)] = values
            continue
        for scope in values["scope"].values.tolist():
            variables[f"{name}_{scope}"] = values.sel(scope=scope, drop=True)
    return variables


def _attributed(shares: xr.DataArray) -> TextResult:
    attrs = shares.attrs
    values = shares.values.astype(np.float64)
    members = sources_by_category(shares["source_category"])
    numbers: Numbers = {("value", "all"): np.array(float(attrs["value"]))}
    bias = attrs.get("bias_share")
    if bias is not None:
        numbers["bias_share", "all"] = np.array(float(bias))
    for category, chosen in members.items():
        numbers["share", category] = np.array(float(values[chosen].sum()))
    error = float(attrs.get("conservation_error", np.nan))
    rows: dict[str, list[Any]] = {
        "target": [str(attrs.get("target", ""))],
        "value": [float(attrs["value"])],
        "bias_share": [None if bias is None else float(bias)],
        "conservation_error": [error],
        "tokens": [len(values)],
        "token": [shares["source_token"].values.astype(str).tolist()],
        "category": [shares["source_category"].values.astype(str).tolist()],
        "share": [values.tolist()],
    }
    return TextResult(rows, {"attribution": TextNumbers([], [], numbers, error)}, len(values), "truncated" in attrs)
