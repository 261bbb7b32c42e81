"""LayerNorm and RMSNorm as affine maps: with σ held fixed, each is affine, with one number per row.

The centering and the gain are folded into the output projection, and 1/σ_i scales the contributions to target i
(Kobayashi et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from normlens.errors import UnsupportedArchitecture


@dataclass(frozen=True)
class NormForm:
    """A LayerNorm or RMSNorm as an affine map with one free number per row: (u − mean u) ⊙ gain / σ + shift.

    Attributes
    ----------
    gain, shift
        ``(d,)``; the shift is zero where the module has none.
    centered
        True for LayerNorm, False for RMSNorm.
    """

    gain: Float[Tensor, " d"]
    shift: Float[Tensor, " d"]
    centered: bool

    def linear(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """The linear part, without 1/σ: (x − mean x) ⊙ gain, or x ⊙ gain; any leading shape."""
        return (x - x.mean(-1, keepdim=True) if self.centered else x) * self.gain

    def fold_after(self, projection: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """The projection followed by :meth:`linear`: f(x) is then normalized except for 1/σ."""
        return self.linear(projection)

    def fold_before(self, projection: Float[Tensor, "inner d"]) -> Float[Tensor, "inner d"]:
        """The projection preceded by :meth:`linear`, for a norm between attention and its projection."""
        scaled = self.gain.unsqueeze(-1) * projection
        return scaled - scaled.mean(0, keepdim=True) if self.centered else scaled

    def row_scale(self, before: Float[Tensor, "*rows d"], after: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows 1"]:
        """1/σ of every row, from the norm's actual output (least squares; exact up to rounding).

        No ε and no formula for the variance is assumed, so none can be wrong.
        """
        direction = self.linear(before)
        length = direction.square().sum(-1, keepdim=True)
        product = ((after - self.shift) * direction).sum(-1, keepdim=True)
        return torch.where(length > 0, product / length.clamp_min(torch.finfo(length.dtype).tiny), 0)

    def apply(self, before: Float[Tensor, "*rows d"], scale: Float[Tensor, "*rows 1"]) -> Float[Tensor, "*rows d"]:
        """The norm's output with 1/σ = ``scale``, ``(..., d)``."""
        return self.linear(before) * scale + self.shift


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm, by the name of its class; what it computes is for :func:`identify_norm` to find out."""
    return "norm" in type(module).__name__.lower() and next(module.children(), None) is None


_NORM_MISFIT = {torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""The tolerance between a norm's output and its form, relative to the output; 1e-3 in full precision."""


def identify_norm(module: nn.Module, before: Tensor, after: Tensor, dtype: torch.dtype = torch.float32) -> NormForm:
    """Determine what a norm module computes, by comparing the possible forms with its output.

    Parameters
    ----------
    module
        A LayerNorm or RMSNorm of any implementation: with or without gain, shift and centering; gain ``w`` or ``1 + w``.
    before, after
        Its input and output, ``(..., d)``, at least float32.
    dtype
        The dtype that the module computed in, which sets the tolerance.

    Raises
    ------
    UnsupportedArchitecture
        If no form gives the module's output.
    """
    parameters = dict(module.named_parameters(recurse=False))
    ones = torch.ones_like(before[..., 0, :].reshape(-1, before.shape[-1])[0])
    weight = next((p for n, p in parameters.items() if n in ("weight", "gamma", "scale", "g")), None)
    shift = next((p for n, p in parameters.items() if n in ("bias", "beta", "b") and p is not None), None)
    if any(p.shape != ones.shape for p in (weight, shift) if p is not None):
        raise UnsupportedArchitecture(
            f"{type(module).__name__} has parameters of shape {[tuple(p.shape) for p in parameters.values()]}; a norm "
            f"over {ones.shape[0]} dimensions was expected."
        )
    gains = [ones] if weight is None else [weight.detach().to(ones), 1 + weight.detach().to(ones), ones]
    beta = torch.zeros_like(ones) if shift is None else shift.detach().to(ones)
    forms = [NormForm(gain, beta, centered) for gain in gains for centered in (False, True)]
    errors = [_misfit(form, *(_some_rows(x) for x in (before, after))) for form in forms]
    best = min(range(len(forms)), key=errors.__getitem__)
    if errors[best] > _NORM_MISFIT.get(dtype, 1e-3):
        raise UnsupportedArchitecture(
            f"{type(module).__name__} is not a LayerNorm or RMSNorm: the closest form differs from its output by "
            f"{errors[best]:.1e} of its norm."
        )
    return forms[best]


def _some_rows(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "row d"]:
    """At most 32 rows spread over ``x``; the conservation error later checks all rows."""
    rows = x.reshape(-1, x.shape[-1])
    return rows[:: max(1, len(rows) // 16)]


def _misfit(form: NormForm, before: Tensor, after: Tensor) -> float:
    gap = form.apply(before, form.row_scale(before, after)) - after
    size = (after - form.shift).norm() + torch.finfo(after.dtype).tiny
    return float(gap.norm() / size)
