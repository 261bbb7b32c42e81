"""The attribution of a whole answer as one labeled array: each of its tokens by each source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from normlens.attribution.arrays import Attribution, labels
from normlens.attribution.whole_answers.answered_prompt import AnsweredPrompt
from normlens.attribution.whole_answers.step_scores import StepScores

_SUMS = ("value", "bias_share", "remainder")


def stacked(rows: Sequence[Attribution], asked: AnsweredPrompt, scores: StepScores, score: str) -> Attribution:
    """Shares of every token of an answer, ``(target, source)``.

    Parameters
    ----------
    rows
        The attribution of each token, ``(source,)``.
    asked
        The prompt with its answer.
    scores
        Probability and entropy at each step.
    score
        What is explained of each token, "logprob" or "logit".
    """
    first = rows[0]
    along = {name: np.array([float(row.attrs.get(name, 0.0)) for row in rows]) for name in _SUMS}
    errors = np.array([float(row.attrs["conservation_error"]) for row in rows])
    coords = {
        **{str(name): (column.dims, column.values) for name, column in first.coords.items()},
        **labels("target", asked.answer),
        **{f"target_{name}": ("target", column) for name, column in along.items()},
        "target_probability": ("target", scores.probability),
        "target_entropy": ("target", scores.entropy, {"units": "nats"}),
    }
    dropped = ("note", "linear_form", *_SUMS)
    attrs = {
        **{name: value for name, value in first.attrs.items() if name not in dropped},
        **{name: float(column.sum()) for name, column in along.items()},
        "target": f"{str(first.attrs['target']).partition(' of ')[0]} of each token of {asked.text!r}",
        "score": score,
        "conservation_error": float(errors.max()),
        "seconds": float(sum(row.attrs["seconds"] for row in rows)),
    }
    array = np.stack([row.values for row in rows])
    return with_roles(Attribution(array, dims=("target", "source"), coords=coords, attrs=attrs, name="share"), asked)


def with_roles(result: Attribution, asked: AnsweredPrompt) -> Attribution:
    """The attribution with a coordinate ``source_role``: "prompt" or "answer"; and the answer among its attributes."""
    if "units" in result.attrs:
        roles = np.full(result.sizes["source"], "prompt")
    elif asked.start is None:
        roles = np.where(result["side"].values == "target", "answer", "prompt")
    else:
        roles = np.where(np.arange(result.sizes["source"]) < asked.start, "prompt", "answer")
    return result.assign_coords(source_role=("source", roles)).assign_attrs(answer=asked.text)
