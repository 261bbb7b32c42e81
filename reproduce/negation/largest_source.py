"""Every head as Zhao & Bethard (2020) score it: a word is in the scope of a cue if the cue is its largest source.

A word itself and special tokens are no sources here. Nothing is fitted, so that all splits are scored together. They
compared weights; norms are scored the same way beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from normlens import Lens
from normlens.negation import AnnotatedNegation, AnnotatedSentence
from reproduce.negation.annotated_cues import CueTable

MEASURES = ("weight", "norm")
_RESAMPLES = 1000

Result = dict[str, Any]


def scored_heads(lens: Lens, tables: Mapping[str, CueTable], batch_size: int = 16) -> Result:
    """F1 of every head over the words of all sentences: their mean, the best head, and norms minus weights.

    Cues that are affixes are left out, as no word can have one as its source.

    Parameters
    ----------
    lens, tables
        The model, and the cues of all splits.
    batch_size
        Sentences per run.

    Returns
    -------
    dict
        Numbers of sentences and cues; for each measure F1 as the ``mean`` over heads and of the ``best`` head, from 0 to 1,
        with 95 % intervals over sentences; the best ``head`` as layer and head; and the ``difference`` of the means.
    """
    counts: list[Int[np.ndarray, "measure place 3"]] = []
    sentence_of: list[int] = []
    heads = before = 0
    for table in tables.values():
        inputs = [{"words": list(sentence.words)} for sentence in table.sentences]
        print(f"{lens.name}: largest sources in {len(inputs)} sentences", file=sys.stderr, flush=True)
        for number, analysis in enumerate(lens.stream(inputs, batch_size=batch_size, progress=False)):
            [name] = analysis.groups
            data = analysis[name].data
            heads = data.sizes["head"]
            for cue in np.flatnonzero(table.sentence == number):
                negation = table.cues[cue][1]
                if whole_words(table.sentences[number], negation):
                    counts.append(cue_counts(data, negation))
                    sentence_of.append(before + number)
        before += len(table.sentences)
    drawn = _drawn(np.stack(counts), np.array(sentence_of))
    result: Result = {"sentences": len(set(sentence_of)), "cues": len(counts)}
    for measure, scores in zip(MEASURES, drawn, strict=True):
        place = int(scores[0].argmax())
        result[measure] = {
            "mean": _interval(scores.mean(axis=-1)),
            "best": _interval(scores[:, place]),
            "head": list(divmod(place, heads)),
        }
    result["difference"] = _interval(drawn[1].mean(axis=-1) - drawn[0].mean(axis=-1))
    return result


def whole_words(sentence: AnnotatedSentence, negation: AnnotatedNegation) -> bool:
    """Whether every piece of a cue is a word."""
    return all(sentence.words[mark.word] == mark.text for mark in negation.cue)


def cue_counts(data: xr.Dataset, negation: AnnotatedNegation) -> Int[np.ndarray, "measure place 3"]:
    """For each head, words in the scope with the cue as the largest source, all words with it, and the scope's words.

    Parameters
    ----------
    data
        A group of the sentence's analysis; its words are those of the annotation.
    negation
        A cue of whole words, and its scope.
    """
    cue = np.array([mark.word for mark in negation.cue])
    weight = data["weight"].transpose("layer", "head", "target", "source").values
    norm = weight * data["vector_norm"].transpose("layer", "head", "source").values[:, :, None]
    words = data["source_word"].values
    members = words == np.arange(words.max() + 1)[:, None]
    inside = np.isin(np.arange(len(members)), [mark.word for mark in negation.scope])
    rows = []
    for values in (weight, norm):
        reached = largest_is(values, members, cue).reshape(-1, len(members))
        reached[:, cue] = False
        scope = np.full(len(reached), len({mark.word for mark in negation.scope}))
        rows.append(np.stack([(reached & inside).sum(axis=1), reached.sum(axis=1), scope], axis=-1))
    return np.stack(rows)


def largest_is(
    values: Float[np.ndarray, "*rest target source"],
    members: Bool[np.ndarray, "word token"],
    cue: Int[np.ndarray, " cue"],
) -> Bool[np.ndarray, "*rest word"]:
    """Whether a word of the cue is the largest source of each word but itself.

    Parameters
    ----------
    values
        Maps of tokens.
    members
        The tokens of each word; a source's are added, a target's averaged.
    cue
        Numbers of the cue's words.
    """
    sums = members.T.astype(np.float64)
    merged = (sums / sums.sum(axis=0)).T @ (values @ sums)
    merged[..., np.arange(len(members)), np.arange(len(members))] = 0.0
    return np.asarray(np.isin(merged.argmax(axis=-1), cue) & (merged.max(axis=-1) > 0))


def f1(counts: Float[np.ndarray, "*rest 3"]) -> Float[np.ndarray, "*rest"]:
    """F1 from right, predicted and annotated words."""
    return np.asarray(2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1))


def _drawn(
    counts: Int[np.ndarray, "cue measure place 3"], sentence: Int[np.ndarray, " cue"]
) -> Float[np.ndarray, "measure draw place"]:
    """F1 of every head; the first draw is all sentences, the others draw them with replacement."""
    numbers, index = np.unique(sentence, return_inverse=True)
    sums = np.zeros((len(numbers), *counts.shape[1:]))
    np.add.at(sums, index, counts)
    draws = np.random.default_rng(0).multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=_RESAMPLES)
    every = np.concatenate([np.ones((1, len(numbers))), draws])
    return np.moveaxis(f1(np.tensordot(every, sums, axes=1)), 1, 0)


def _interval(drawn: Float[np.ndarray, " draw"]) -> list[float]:
    return [round(float(x), 4) for x in (drawn[0], *np.quantile(drawn[1:], [0.025, 0.975]))]
