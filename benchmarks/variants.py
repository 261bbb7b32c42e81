"""The compared variants: the analysis, the measurement without labeled arrays, and plain forward passes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from normlens.analysis.result import Analysis
from normlens.engine.capture.interface import attention_implementation, capturing
from normlens.engine.contributions.measure import check_conservation, measure
from normlens.engine.tracing import Tracer
from normlens.engine.tracing.block import Block
from normlens.lens import Lens

from .shapes import Shape


def forward(model: PreTrainedModel, ids: Tensor, implementation: str, **options: Any) -> Any:
    """A plain forward pass of the base model with an attention implementation."""
    with torch.no_grad(), attention_implementation(model, implementation):
        return _run(model, ids, **options)


def analyses(lens: Lens, ids: Tensor) -> list[Analysis]:
    """All measures and scopes of all layers, as labeled arrays, one batch."""
    return list(lens.stream(ids.tolist(), batch_size=len(ids), progress=False))


def measured(model: PreTrainedModel, shape: Shape, ids: Tensor) -> None:
    """All measures and scopes of all layers, each freed as soon as it is measured and checked."""

    def record(block: Block) -> None:
        for measures in measure(block, shape.scopes):
            check_conservation(measures, block.path, model.dtype, None)

    tracer = Tracer(model, record, lambda path, occurrence: shape.scopes)
    with torch.no_grad(), capturing(model, tracer.capture), tracer.watching():
        _run(model, ids)
    assert not tracer.open_traces


def _run(model: PreTrainedModel, ids: Tensor, **options: Any) -> Any:
    if hasattr(model.config, "use_cache"):
        options["use_cache"] = False
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
