"""Whether attention can be read as an explanation: the tests of Wiegreffe & Pinter 2019."""

from normlens.faithfulness.four_tests.divergences import (
    jensen_shannon,
    kendall,
    kullback_leibler,
    one_output_total_variation,
    symmetric_kullback_leibler,
    total_variation,
)

__all__ = [
    "jensen_shannon",
    "kendall",
    "kullback_leibler",
    "one_output_total_variation",
    "symmetric_kullback_leibler",
    "total_variation",
]
