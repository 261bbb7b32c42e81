"""The joint score: keys leave one by one, each time the one without which the outputs of a group of heads move least.

When the sources E leave and the remaining weights are renormalized, a head's output o_i moves by Σ_{j∈E} d_ij / a_i, with
d_ij = α_ij (o_i − f(x_j)) and a_i = 1 − Σ_{j∈E} α_ij. The cost of a set, Σ_i ‖Σ_{j∈E} d_ij‖² / a_i² over the queries and
the heads that share the keys, is followed through inner products alone.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from normlens.topk.eviction.read_blocks import ReadBlock

_COMPACTED = 8  # maps are made smaller once an eighth of their sources has left
_ROUNDING = 100  # machine epsilons: what a query has left below this is nothing but rounding


def elimination_costs(block: ReadBlock, group: int) -> Float[Tensor, " source"]:
    """The rise of Σ_i ‖o_i − o_S‖² as each key leaves; strictly larger for keys that leave later.

    The memory is a few maps (query, source) of the heads of one group.

    Parameters
    ----------
    block
        The block.
    group
        The number of the key and value head.
    """
    heads = slice(group * block.shared, (group + 1) * block.shared)
    rows = [(row.weights[heads].clone(), _factors(row.gate, row.scale, heads)) for row in block.rows()]
    factors = [x for _, x in rows if x is not None]
    outputs = GroupOutputs(
        torch.cat([weights for weights, _ in rows], dim=1),
        block.value[heads.start],
        block.metric[heads],
        torch.cat([x.expand(block.shared, -1, block.value.shape[-1]) for x in factors], dim=1) if factors else None,
    )
    costs = block.value.new_zeros(block.sources)
    highest = total = block.value.new_zeros(())
    for _ in range(block.sources):
        totals = outputs.costs()
        leaving = int(totals.argmin())
        rise = totals[leaving] - total
        highest = torch.maximum(torch.nextafter(highest, highest + 1), rise)
        costs[outputs.sources[leaving]], total = highest, totals[leaving]
        outputs.remove(leaving)
    return costs


class GroupOutputs:
    """The outputs of heads that share keys and values, for all queries, while keys leave.

    Parameters
    ----------
    weights, value
        α, and the shared value vectors.
    metric
        M = P Pᵀ of each head, P being its slice of the output projection.
    factors
        A gate or a norm's scale between attention and projection; None if there is neither.

    Attributes
    ----------
    sources
        The positions of the keys that `costs` lists; a few of them may have left already.
    """

    def __init__(
        self,
        weights: Float[Tensor, "head query source"],
        value: Float[Tensor, "source head_dim"],
        metric: Float[Tensor, "head head_dim head_dim2"],
        factors: Float[Tensor, "head query head_dim"] | None = None,
    ) -> None:
        self._weights, self._value, self._metric, self._factors = weights, value, metric, factors
        self._mixed = weights @ value
        output = self._carried(self._mixed)
        self._output_products = output @ value.T  # ⟨o_i, f(x_j)⟩
        self._squared_output = (output * self._mixed).sum(-1, keepdim=True)
        self._gram = value @ metric @ value.T if factors is None else None
        self._squared = (self._squared_lengths() - 2 * self._output_products + self._squared_output).clamp_min_(0)
        self._squared *= weights.square()  # ‖d_ij‖²
        self._left = torch.ones_like(weights[..., :1])  # a_i
        self._moved = torch.zeros_like(self._left)  # ‖Σ_{j∈E} d_ij‖²
        self._along = torch.zeros_like(weights)  # ⟨Σ_{k∈E} d_ik, d_ij⟩
        self.sources = torch.arange(len(value), device=value.device)
        self._gone: Bool[Tensor, " source"] = torch.zeros(len(value), dtype=torch.bool, device=value.device)

    def costs(self) -> Float[Tensor, " source"]:
        """The cost of the set that has left together with each further source; infinite for those that have left."""
        moved = torch.add(self._squared, self._along, alpha=2).add_(self._moved).clamp_min_(0)
        left = self._left - self._weights
        empty = left <= _ROUNDING * torch.finfo(left.dtype).eps
        if empty.any():  # a query that has no source left has no output
            moved = torch.where(empty, self._squared_output, moved.div_(left.masked_fill_(empty, 1).square_()))
        else:
            moved.div_(left.square_())
        return moved.sum((0, 1)).masked_fill_(self._gone, torch.inf)

    def remove(self, index: int) -> None:
        """Let a source leave, by its index in ``sources``."""
        weight = self._weights[..., index, None]
        self._moved += 2 * self._along[..., index, None] + self._squared[..., index, None]
        products = self._products(index) - self._output_products
        products += self._squared_output - self._output_products[..., index, None]
        self._along.addcmul_(products.mul_(self._weights), weight)
        self._left -= weight
        self._gone[index] = True
        if int(self._gone.sum()) * _COMPACTED > len(self.sources):
            self._leave_out()

    def _leave_out(self) -> None:
        """Drop what has left from all maps."""
        here = (~self._gone).nonzero().squeeze(1)
        if self._gram is not None:
            self._gram = self._gram[:, here][:, :, here]
        for name in ("_weights", "_output_products", "_squared", "_along"):
            setattr(self, name, getattr(self, name)[..., here])
        self._value, self.sources, self._gone = self._value[here], self.sources[here], self._gone[here]

    def _carried(self, x: Float[Tensor, "head query head_dim"]) -> Float[Tensor, "head query head_dim"]:
        """Vectors from which products with value vectors are those of f: x M, with the factors on both sides."""
        return x @ self._metric if self._factors is None else ((x * self._factors) @ self._metric) * self._factors

    def _products(self, source: int) -> Float[Tensor, "head #query source"]:
        """⟨f(x_source), f(x_j)⟩ of every source j, by target where there are factors."""
        if self._gram is not None:
            return self._gram[:, source, None]
        return self._carried(self._value[source].expand_as(self._mixed)) @ self._value.T

    def _squared_lengths(self) -> Float[Tensor, "head #query source"]:
        if self._gram is not None:
            return self._gram.diagonal(dim1=-2, dim2=-1)[:, None]
        return torch.stack([(self._carried(v.expand_as(self._mixed)) * v).sum(-1) for v in self._value], dim=-1)


def _factors(gate: Tensor | None, scale: Tensor | None, heads: slice) -> Float[Tensor, "#head query #head_dim"] | None:
    """The factors of a few queries: the gate, the scale, or both."""
    if gate is None:
        return None if scale is None else scale[None]
    return gate[heads] if scale is None else gate[heads] * scale
