"""The options of ``analyze`` and ``stream``: their types, and which combinations are valid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypedDict, get_args

from normlens.analysis.reductions import Reduction
from normlens.engine.frozen.call import Product
from normlens.errors import InvalidInput
from normlens.inputs.example_stream import Skip

Through = Literal["attention", "block"]
"""How far into a layer contributions are followed."""


class AnalyzeOptions(TypedDict, total=False):
    """The keyword-only parameters of :meth:`normlens.Lens.stream`, described there."""

    generate: int | None
    generation_prompt: bool | None
    through: Through
    product: Product
    measures: Iterable[str] | None
    reduce: str | Reduction | None
    chunk_size: int | None
    batch_size: int
    padding: str
    progress: bool
    truncate: bool
    skip: Skip | None


def rule_for(through: object, product: Any) -> Product | None:
    """The product rule for following contributions through the whole block; None if they stay in the attention block.

    Raises
    ------
    InvalidInput
        If an option is unknown, or ``product`` has no effect.
    """
    if through not in ("attention", "block"):
        raise InvalidInput(
            f"through is {through!r}; expected 'attention' (scopes up to the end of the attention block) or 'block' "
            "(through the feed-forward as well)."
        )
    if product not in get_args(Product):
        raise InvalidInput(f"product is {product!r}; expected one of {', '.join(map(repr, get_args(Product)))}.")
    if through == "attention" and product != "half":
        raise InvalidInput(
            f"product is {product!r}, but with through='attention' no product is split. Pass through='block', or "
            "omit product."
        )
    chosen: Product = product
    return chosen if through == "block" else None
