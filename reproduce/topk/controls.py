"""Why the norm loses to the weight once weights are renormalized: three controls, of which two concern attention sinks.

By norm, with the sinks always kept; by weight, with the sinks never kept; and by norm, with the kept weights divided not
by their own sum but by that of the largest weights, so that they grow no more than those would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from normlens import Lens
from normlens.topk import topk_attention
from normlens.topk.projections import FactoredProjection, find_projections
from reproduce.topk.quality import Setting

KEPT, LEFT_OUT, SCALED = CONTROLS = ("norm with sinks", "weight without sinks", "norm scaled as by weight")
_CERTAIN = 1e4  # added to a logarithm, it outweighs every score
_IMPLEMENTATION = "reproduce_controls"


@dataclass(frozen=True)
class Control(Setting):
    """One of `CONTROLS`; k counts the sinks.

    Attributes
    ----------
    sinks
        Positions of the sinks among the tokens of a passage; negative ones count from its end.
    """

    sinks: Sequence[int] = (0,)

    @contextmanager
    def use(self, model: Any) -> Iterator[None]:  # type: ignore[override]
        """Switch the attention of a lens' model; every passage has the same length."""
        assert isinstance(model, Lens)
        before = model.model.config._attn_implementation
        ids = torch.tensor([[5, 6, 7, 8]])
        attention = _ControlAttention(self, find_projections(model.model, {"input_ids": ids}))
        AttentionInterface.register(_IMPLEMENTATION, attention)
        AttentionMaskInterface.register(_IMPLEMENTATION, _whole_masks)
        model.model.set_attn_implementation(_IMPLEMENTATION)
        try:
            yield
        finally:
            model.model.set_attn_implementation(before)


class _ControlAttention:
    def __init__(self, setting: Control, projections: dict[nn.Module, FactoredProjection]) -> None:
        self._setting, self._projections = setting, projections

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, scaling: float, **_: Any
    ) -> tuple[Tensor, None]:
        setting, ranking = self._setting, self._projections[module].log_norms(value).clone()
        if setting.by == LEFT_OUT:
            ranking.zero_()
        if setting.by != SCALED:
            ranking[..., list(setting.sinks)] = _CERTAIN if setting.by == KEPT else -_CERTAIN
        options: dict[str, Any] = {"k": setting.k, "scale": scaling, "renormalize": setting.by != SCALED}
        output = topk_attention(query, key, value, mask, measure="norm", log_norms=ranking, **options)
        if setting.by == SCALED:
            output = output / topk_attention(query, key, torch.ones_like(value[..., :1]), mask, **options)
        return output.transpose(1, 2).contiguous(), None


def _whole_masks(*arguments: Any, **options: Any) -> Tensor | None:
    mask: Tensor | None = sdpa_mask(*arguments, **options | {"allow_is_causal_skip": False})
    return mask


def choices_grid(ks: Sequence[int], sinks: Sequence[int]) -> list[Setting]:
    """By every measure with both denominators, and the controls."""
    measured = [
        Setting(by, denominator, k)
        for by in ("weight", "norm", "displacement", "joint")
        for denominator in ("renormalized", "full")
        for k in ks
    ]
    return measured + [Control(by, "renormalized", k, None, sinks) for by in CONTROLS for k in ks]
