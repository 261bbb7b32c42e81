"""The first test: attention held uniform and the rest trained again; if predictions stay as good, attention wasn't needed.

Wiegreffe & Pinter 2019, section 3. Pass the weights to a classifier of :mod:`normlens.faithfulness.four_tests.models`.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from normlens.faithfulness.four_tests.models import require_tokens


def uniform_attention(readable: Bool[Tensor, "text token"]) -> Float[Tensor, "text token"]:
    """Equal weights for all tokens of a text that may be read, 0 for the others.

    Raises
    ------
    InvalidInput
        If a text has no such token.
    """
    require_tokens(readable)
    return readable / readable.sum(dim=-1, keepdim=True)
