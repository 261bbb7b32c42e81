"""Whether attention can be read as an explanation: what the tests of Wiegreffe & Pinter 2019 are made of.

Their classifiers, uniform attention, guides for the diagnostic, the adversary's loss, and divergences.
"""

from normlens.faithfulness.four_tests.adversary import adversarial_loss
from normlens.faithfulness.four_tests.divergences import (
    jensen_shannon,
    kendall,
    kullback_leibler,
    one_output_total_variation,
    symmetric_kullback_leibler,
    total_variation,
)
from normlens.faithfulness.four_tests.models import (
    Prediction,
    RecurrentClassifier,
    TokenClassifier,
    classification_loss,
)
from normlens.faithfulness.four_tests.seeds import by_largest_weight, seed_divergences
from normlens.faithfulness.four_tests.uniform import uniform_attention

__all__ = [
    "Prediction",
    "RecurrentClassifier",
    "TokenClassifier",
    "adversarial_loss",
    "by_largest_weight",
    "classification_loss",
    "jensen_shannon",
    "kendall",
    "kullback_leibler",
    "one_output_total_variation",
    "seed_divergences",
    "symmetric_kullback_leibler",
    "total_variation",
    "uniform_attention",
]
