"""Faithfulness: erase what an attribution calls important, and measure the change of the model's prediction.

`evaluate` measures the scores of any method beside baselines; `summary` and `difference` average over texts with intervals.
"""

from normlens.faithfulness.erasure.baselines import BASELINES
from normlens.faithfulness.erasure.classifying import Classifier, LensClassifier
from normlens.faithfulness.erasure.design import Design
from normlens.faithfulness.erasure.erasing import DECILES, ERASER_BINS, ERASURES, Replacement, replacement_of
from normlens.faithfulness.erasure.evaluation import evaluate, leave_one_out
from normlens.faithfulness.erasure.results import MEASURES, difference, summary
from normlens.faithfulness.erasure.soft_erasure import soft_evaluate
from normlens.faithfulness.erasure.units import UNITS, Units, tokens_of, words_of

__all__ = [
    "BASELINES",
    "DECILES",
    "ERASER_BINS",
    "ERASURES",
    "MEASURES",
    "UNITS",
    "Classifier",
    "Design",
    "LensClassifier",
    "Replacement",
    "Units",
    "difference",
    "evaluate",
    "leave_one_out",
    "replacement_of",
    "soft_evaluate",
    "summary",
    "tokens_of",
    "words_of",
]
