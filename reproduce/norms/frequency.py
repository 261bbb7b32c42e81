"""Whether weights or norms discount frequent tokens (Kobayashi et al. 2020; 2021, table 2).

Per token, α averaged over targets, heads and layers, ‖f(x)‖ over heads and layers, the five mixing ratios over layers;
then Spearman's correlation with the rank of the token's frequency over all tokens of the corpus. Rank 1 is the most
frequent, so a positive correlation means: the rarer, the larger.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from normlens.errors import InvalidInput
from normlens.statistics import ALL, TokenFrequency, mean_of_present, mean_over_seeing_targets
from normlens.statistics.report.estimates import Estimate
from reproduce.norms.dispersion import ORDINARY, ordinary_sources
from reproduce.norms.mixing_ratio import PLACES
from reproduce.study.estimates import pooled_correlation, table
from reproduce.study.figures import estimates_beside_published
from reproduce.study.published import (
    FREQUENCY_CORRELATION,
    FREQUENCY_CORRELATION_ORDINARY,
    KOBAYASHI_2020,
    KOBAYASHI_2021,
    NOTEBOOK_2021,
    WORKSHOP_2020,
)
from reproduce.study.run import Entries, Entry, Finding, Reading

QUANTITIES = ("α", "‖f(x)‖", *PLACES)
BERT_TABLE = "frequency/bert_uncased_rank_count_id.txt"
BERT_VOCABULARY = 30_522


def token_numbers(data: xr.Dataset) -> Float[np.ndarray, "quantity token"]:
    """Every token's α, ‖f(x)‖ and mixing ratios, in the order of `QUANTITIES`; NaN where the model lacks one.

    Parameters
    ----------
    data
        One group of an analysis. In a decoder α is averaged over the targets that can see the token.
    """
    weight = mean_over_seeing_targets(data["weight"].transpose("layer", "head", "target", "source").values)
    norm = data["vector_norm"].transpose("layer", "head", "source").values
    numbers = [mean_of_present(weight, axis=(0, 1)), mean_of_present(norm, axis=(0, 1))]
    for quantity, scope in PLACES.values():
        by_layer = (
            data[quantity].transpose("scope", "layer", "target").sel(scope=scope).values if _has(data, scope) else None
        )
        numbers.append(np.full(len(numbers[0]), np.nan) if by_layer is None else mean_of_present(by_layer, axis=0))
    return np.stack(numbers)


def measure(reading: Reading) -> pd.DataFrame:
    """Correlate with frequency over all tokens, and over ordinary ones."""
    frequency = token_frequency(reading)
    values, ranks, ordinary, sentence = [], [], [], []
    for place, data in enumerate(reading):
        values.append(token_numbers(data))
        ranks.append(frequency.ranks(data["source_id"].values))
        ordinary.append(ordinary_sources(data))
        sentence.append(np.full(len(ordinary[-1]), place))
    reading.about["frequency"] = frequency.source
    pooled, rank, numbers = np.concatenate(values, axis=1), np.concatenate(ranks), np.concatenate(sentence)
    rows = []
    for category, mask in {ALL: np.ones_like(numbers, dtype=bool), ORDINARY: np.concatenate(ordinary)}.items():
        intervals = pooled_correlation(
            pooled[:, mask], rank[mask], numbers[mask], seed=reading.seed, resamples=reading.resamples
        )
        for name, (value, low, high) in zip(QUANTITIES, intervals.T, strict=True):
            if np.isfinite(value):
                rows.append((f"correlation_frequency_{name}", category, None, None, value, low, high, len(values)))
    return table(rows)


def token_frequency(reading: Reading) -> TokenFrequency:
    """Read the table of the uncased BERT vocabulary if it fits and exists; otherwise count in the corpus.

    Parameters
    ----------
    reading
        The model and its sentences.

    Raises
    ------
    InvalidInput
        If the model reads no text.
    """
    tokenizer = reading.lens.tokenizer
    if tokenizer is None:
        raise InvalidInput(
            f"{reading.lens.name} has no tokenizer, and tokens are what is counted. Choose a text model."
        )
    path = reading.data_folder and reading.data_folder / BERT_TABLE
    is_bert = tokenizer.vocab_size == BERT_VOCABULARY and tokenizer.convert_ids_to_tokens(1996) == "the"
    if path and path.exists() and is_bert:
        return TokenFrequency.read(path)
    return TokenFrequency.counted(tokenizer(text, verbose=False)["input_ids"] for text in reading.corpus.texts)


def numbers(entries: Entries) -> dict[str, Any]:
    """Published numbers and ours, by their names in the template."""
    rows = []
    for name in QUANTITIES:
        theirs = [values.get(name) for values in (FREQUENCY_CORRELATION, FREQUENCY_CORRELATION_ORDINARY)]
        cells = ["not read" if value is None else f"{value:.2f}".replace("-", "−") for value in theirs]
        rows.append([name, *cells, *_cells(entries, name)])
    return {
        "sources": {
            "paper_2020": KOBAYASHI_2020,
            "paper_2021": KOBAYASHI_2021,
            "notebook": NOTEBOOK_2021,
            "workshop": WORKSHOP_2020,
        },
        "columns": [f"{entry.model}, {tokens}" for entry in entries.values() for tokens in ("all", "ordinary")],
        "rows": rows,
        "agreement": [line for entry in entries.values() for line in agreement(entry)],
        "frequencies": "; ".join(f"{entry.model}: {entry.about['frequency']}" for entry in entries.values()),
    }


def agreement(entry: Entry) -> list[str]:
    """State which signs agree with the paper, and whether norms correlate with frequency more than weights."""
    ours = correlations(entry, ALL)
    same = [name for name, value in FREQUENCY_CORRELATION.items() if name in ours and ours[name].value * value > 0]
    other = [name for name in FREQUENCY_CORRELATION if name in ours and name not in same]
    ordinary = correlations(entry, ORDINARY)
    stronger = "more" if abs(ordinary["‖f(x)‖"].value) > abs(ordinary["α"].value) else "less"
    return [
        f"{entry.model}: the sign is as published for {', '.join(same) or 'no ratio'}"
        + (f"; opposite for {', '.join(other)}" if other else ""),
        f"{entry.model}: over ordinary tokens ‖f(x)‖ ({ordinary['‖f(x)‖'].number()}) correlates {stronger} strongly "
        f"with frequency than α ({ordinary['α'].number()})",
    ]


def correlations(entry: Entry, category: str) -> dict[str, Estimate]:
    """A model's correlations by quantity."""
    estimates = {name: entry.numbers.get(f"correlation_frequency_{name}", category) for name in QUANTITIES}
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


def draw(entries: Entries) -> dict[str, Figure]:
    """Correlations over ordinary tokens and the published ones."""
    ours = {entry.model: correlations(entry, ORDINARY) for entry in entries.values()}
    theirs = {"BERT-base": FREQUENCY_CORRELATION_ORDINARY}
    label = "Spearman with frequency rank (ordinary tokens); right of zero: the rarer, the larger"
    return {"": estimates_beside_published(QUANTITIES, ours, theirs, label)}


def _has(data: xr.Dataset, scope: str) -> bool:
    return scope in data["scope"].values.tolist()


def _cells(entries: Entries, name: str) -> list[str]:
    estimates = [correlations(entry, category).get(name) for entry in entries.values() for category in (ALL, ORDINARY)]
    return ["absent" if estimate is None else estimate.number() for estimate in estimates]


FINDING = Finding("frequency", "Token frequency: with weights, norms and mixing ratios", measure, numbers, draw)
