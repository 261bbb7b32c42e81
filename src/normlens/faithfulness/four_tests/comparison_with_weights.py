"""What norms change about the answer: stability over seeds, guidance, and whether they give an adversary away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.metrics import roc_auc_score

from normlens.faithfulness.four_tests.instances import draws
from normlens.faithfulness.four_tests.run_results import Estimate, Instances, estimate

_RESAMPLES = 200  # of an AUC, which is slow


def norms_answer(instances: Instances, explanations: Sequence[str], strength: float | None) -> dict[str, Any]:
    """Compare every explanation with α, on the same texts and models.

    Parameters
    ----------
    instances
        The run's instances.
    explanations
        What was tested, "weight" among them.
    strength
        λ of the adversary to compare; None where there is none.

    Returns
    -------
    dict
        By explanation other than "weight": ``stability`` (its JSD between seeds less that of α; ``relative`` as a share of
        the JSD to a map in random order; ``kendall``), ``guidance`` (F1 of the diagnostic with it less with α), ``moved``
        (its JSD under the adversary less that of α, and relative), and ``detection`` (AUC of telling adversaries from honest
        seeds by α's JSD, by the explanation's, and by the JSD between the explanation and α inside the one model). What
        takes other seeds, guides or an adversary is left out where there are none.
    """
    others = instances.others()
    adversary = None if strength is None else instances.of("adversary", strength=strength)
    answers = {}
    for name in explanations:
        if name == "weight":
            continue
        answer: dict[str, Any] = {"stability": _difference(instances, others, name)} if len(others) else {}
        guided, by_weight = (instances.of("diagnostic", guide=f"base/{which}") for which in (name, "weight"))
        if len(guided):
            answer["guidance"] = instances.f1_difference(guided, by_weight)
        if adversary is not None and len(adversary):
            answer["moved"] = _difference(instances, adversary, name)
            if len(others):
                answer["detection"] = detection(others, adversary, name)
        answers[name] = answer
    return answers


def _difference(instances: Instances, rows: pd.DataFrame, name: str) -> dict[str, Estimate]:
    """An explanation's divergence less that of α: in nats, relative to random order, and in rank correlation."""
    return {
        "jsd": instances.mean(rows, f"jsd_{name}", "jsd_weight", combine=np.subtract),
        "relative": instances.mean(
            rows,
            f"jsd_{name}",
            f"control_{name}",
            "jsd_weight",
            "control_weight",
            combine=lambda a, b, c, d: a / b - c / d,
        ),
        "kendall": instances.mean(rows, f"kendall_{name}", "kendall_weight", combine=np.subtract),
    }


def detection(honest: pd.DataFrame, adversary: pd.DataFrame, name: str) -> dict[str, Estimate]:
    """AUC of detectors that score one text of one model; 0.5 is chance, and below it the sign is the wrong one.

    Parameters
    ----------
    honest
        Instances of other seeds.
    adversary
        Instances of an adversary.
    name
        An explanation.

    Returns
    -------
    dict
        "weight" and "explanation" score by the JSD to the base model's map, "inner" by the JSD between the model's own α
        and its own explanation, for which no base model is needed.
    """
    by_detector = {"weight": "jsd_weight", "explanation": f"jsd_{name}", "inner": f"inner_{name}"}
    by_text, _ = draws(int(honest["text"].nunique()), 1, _RESAMPLES)
    areas = {}
    for detector, column in by_detector.items():
        scores = np.concatenate([honest[column], adversary[column]])
        wrong = np.repeat([0, 1], [len(honest), len(adversary)])
        texts = np.concatenate([honest["text"], adversary["text"]]).astype(int)
        areas[detector] = estimate(_areas(wrong, scores, by_text[:, texts]))
    return areas


def _areas(
    wrong: np.ndarray, scores: Float[np.ndarray, " row"], counts: Float[np.ndarray, "draw row"]
) -> Float[np.ndarray, " draw"]:
    return np.array([roc_auc_score(wrong, scores, sample_weight=row) for row in counts])
