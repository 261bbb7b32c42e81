"""Scores of a context's sentences by each method, with the time that each takes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from normlens import Lens
from normlens.attribution import Attribution
from normlens.attribution.whole_answers.context_prompt import context_prompt
from normlens.words.text_spans import spans_of_tokens, text_spans
from reproduce.contexts.xquad_questions import ContextQuestion

Scores = Float[np.ndarray, " sentence"]

SPLIT, LEAVE_ONE_OUT, OVERLAP = "decompx", "occlusion", "words_shared"
RUN_AGAIN = (LEAVE_ONE_OUT, "contextcite", "gradient_input")
"""Methods that explain the log-probability of the answer, or its log-odds, beside the exact split."""
MAPS = ("norm_rollout", "rollout")
"""Methods without a target: what flows into the positions that predict the answer."""
MEANS = {"mean_norm": "norm", "mean_weight": "weight"}
"""Measures of an analysis: what these positions take from the sentences, averaged over layers (and heads)."""


@dataclass(frozen=True)
class ReadContext:
    """A question as the model reads it.

    Attributes
    ----------
    ids
        Token ids: the prompt, and the answer without its last token.
    numbers
        The sentence of each token; negative for tokens in none.
    places
        Offsets of the sentences in the text, as pairs.
    predicting
        Positions that predict the answer's tokens.
    """

    ids: list[int]
    numbers: Int[np.ndarray, " token"]
    places: list[tuple[int, int]]
    predicting: slice

    def added_up(self, rows: Float[np.ndarray, "target source"]) -> Scores:
        """What the predicting positions take from each sentence, averaged over these positions."""
        taken = rows[self.predicting].mean(0)
        return np.array([taken[self.numbers == k].sum() for k in range(len(self.places))])


def measured(lens: Lens, one: ContextQuestion, ablations: int) -> dict[str, Any]:
    """Scores, seconds and runs of every method for one question, whose gold answer is teacher-forced.

    Parameters
    ----------
    lens
        A decoder with its tokenizer.
    one
        The question.
    ablations
        Number of ablations of ContextCite.
    """
    asked = context_prompt(one.prompt, lens.tokenizer)
    assert asked is not None
    scores: dict[str, Scores] = {}
    seconds: dict[str, float] = {}
    runs: dict[str, int] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - start
        return result

    options: dict[str, Any] = {"answer": asked.answer(one.answer), "whole": True}
    tokens: Attribution = timed(SPLIT, partial(lens.attribute, asked.prompt, **options))
    read = as_read(tokens, one)
    scores[SPLIT] = tokens.spans(read.places).values[: one.sentences]
    value = float(tokens.attrs["value"])
    for method in RUN_AGAIN:
        own = {"ablations": ablations} if method == "contextcite" else {}
        again = {**options, **own, "method": method, "spans": read.places}
        result = timed(method, partial(lens.attribute, asked.prompt, **again))
        scores[method] = result.values[: one.sentences]
        if "runs" in result.attrs:
            runs[method] = int(result.attrs["runs"])
    for method in MAPS:
        rows = timed(method, partial(lens.attribute, read.ids, method=method))
        scores[method] = read.added_up(rows.values)
    for name, measure in MEANS.items():
        rows = timed(name, partial(mean_map, lens, read.ids, measure))
        scores[name] = read.added_up(rows)
    scores[OVERLAP] = shared_words(one)
    return {
        "sentences": one.sentences, "gold": one.gold, "tokens": len(read.ids), "log_probability": value,
        "scores": {name: values.tolist() for name, values in scores.items()}, "seconds": seconds, "runs": runs,
    }  # fmt: skip


def as_read(tokens: Attribution, one: ContextQuestion) -> ReadContext:
    """Where the sentences and the answer are in what the model reads."""
    text, prompt = str(tokens.attrs["text"]), tokens["source_role"].values == "prompt"
    places = text_spans(one.context, "sentences") + text.index(one.context)
    offsets = np.stack([tokens["source_start"].values, tokens["source_end"].values], axis=1)
    numbers = np.full(len(prompt), -1)
    numbers[prompt] = spans_of_tokens(
        text, offsets[prompt], places, tokens["source_category"].values[prompt] == "special"
    )
    pairs = [(int(start), int(stop)) for start, stop in places]
    return ReadContext(tokens["source_id"].values.tolist(), numbers, pairs, slice(int(prompt.sum()) - 1, None))


def mean_map(lens: Lens, ids: list[int], measure: str) -> Float[np.ndarray, "target source"]:
    """A measure of an analysis, averaged over layers, and over heads if it has them; rows add up to one."""
    values = lens.analyze(ids, measures=[measure])["decoder"].data[measure]
    mean = values.mean([name for name in values.dims if name not in ("target", "source")])
    rows: Float[np.ndarray, "target source"] = (mean / mean.sum("source")).transpose("target", "source").values
    return rows


def shared_words(one: ContextQuestion) -> Scores:
    """The share of the question's words that each sentence holds: a baseline without a model."""
    asked = set(_words(one.question))
    sentences = [one.context[start:stop] for start, stop in text_spans(one.context, "sentences")]
    return np.array([len(asked & set(_words(sentence))) / max(len(asked), 1) for sentence in sentences])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
