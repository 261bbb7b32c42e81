"""LayerNorm and RMSNorm as what they are once σ is known: affine maps with one number per row.

The centring and the gain go into the output projection, and 1/σ_i scales the contributions to target i
(Kobayashi et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class NormForm:
    """A LayerNorm or RMSNorm as an affine map with one free number per row: (u − mean u) ⊙ gain / σ + shift.

    Attributes
    ----------
    gain, shift
        ``(d,)``; the shift is zero where the module has none.
    centred
        True for LayerNorm, False for RMSNorm.
    """

    gain: Float[Tensor, " d"]
    shift: Float[Tensor, " d"]
    centred: bool

    def linear(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """The part that needs no statistics: (x − mean x) ⊙ gain, or x ⊙ gain; any leading shape."""
        return (x - x.mean(-1, keepdim=True) if self.centred else x) * self.gain

    def fold_after(self, projection: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """The projection with :meth:`linear` behind it: f(x) then arrives normalised but for 1/σ."""
        return self.linear(projection)

    def fold_before(self, projection: Float[Tensor, "inner d"]) -> Float[Tensor, "inner d"]:
        """The projection with :meth:`linear` in front of it, for a norm between attention and its projection."""
        scaled = self.gain.unsqueeze(-1) * projection
        return scaled - scaled.mean(0, keepdim=True) if self.centred else scaled

    def row_scale(self, before: Float[Tensor, "*rows d"], after: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows 1"]:
        """1/σ of every row, read off what the norm really made of it (least squares; exact up to rounding).

        No ε and no formula for the variance is assumed, so none can be wrong.
        """
        direction = self.linear(before)
        length = direction.square().sum(-1, keepdim=True)
        product = ((after - self.shift) * direction).sum(-1, keepdim=True)
        return torch.where(length > 0, product / length.clamp_min(torch.finfo(length.dtype).tiny), 0)

    def apply(self, before: Float[Tensor, "*rows d"], scale: Float[Tensor, "*rows 1"]) -> Float[Tensor, "*rows d"]:
        """The norm's output for the given 1/σ, ``(..., d)``."""
        return self.linear(before) * scale + self.shift
