"""The options of ``analyze`` and ``stream``, typed for whoever passes them on."""

from __future__ import annotations

from typing import Literal, TypedDict

from normlens.analysis.recorder import Reduction
from normlens.engine.frozen.call import Product
from normlens.inputs.example_stream import Skip

Through = Literal["attention", "block"]
"""How far into a layer contributions are followed."""


class AnalyzeOptions(TypedDict, total=False):
    """The keyword-only parameters of :meth:`normlens.Lens.stream`, described there."""

    generate: int | None
    generation_prompt: bool | None
    through: Through
    product: Product
    reduce: str | Reduction | None
    chunk_size: int | None
    batch_size: int
    padding: str
    progress: bool
    truncate: bool
    skip: Skip | None
