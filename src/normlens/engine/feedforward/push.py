"""Contributions pushed through the rest of a layer: its feed-forward, its residual sum, its last norm.

With the data-dependent factors of its operations held fixed, the rest of a layer is affine (:mod:`normlens.engine.frozen`);
it processes each position separately. So the contributions c_ij at the end of the attention block enter it, one source per
copy of the batch, and forward-mode differentiation maps each of them to the layer's output. For element-wise activations
this is the closed form of integrated gradients with a zero baseline (Kobayashi et al. 2024): the share p_j of g's argument p
becomes p_j · g(p)/p.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad
from transformers import PreTrainedModel

from normlens.engine.capture.trees import first_tensor
from normlens.engine.contributions.contribution_weights import in_shares
from normlens.engine.contributions.measure import Pushed
from normlens.engine.contributions.vector_norms import conservation_error, mixing_ratio
from normlens.engine.contributions.vectors import Contributions
from normlens.engine.feedforward.replay import FAILURES, Arrangement, run_rest
from normlens.engine.frozen.call import Product
from normlens.engine.frozen.directions import Forward, tangent
from normlens.engine.frozen.run import FrozenRun, frozen_run
from normlens.engine.locks import dual_level
from normlens.engine.precision import working_precision
from normlens.engine.tracing.anatomy import LayerAnatomy
from normlens.engine.tracing.block import Block, LayerCall
from normlens.engine.tracing.scopes import BlockScope
from normlens.errors import NormLensError, UnsupportedArchitecture
from normlens.memory import is_out_of_memory

_POSITIONS = 2048  # vectors per run without a chunk size


@contextmanager
def pushing(
    model: PreTrainedModel,
    block: Block,
    layer: LayerAnatomy,
    call: LayerCall,
    product: Product,
    *,
    shares: bool = False,
) -> Iterator[Pusher]:
    """Keep the rest of a layer frozen while the context lasts.

    Parameters
    ----------
    model
        The model or submodel that module paths refer to.
    block
        A block.
    layer, call
        Where its layer continues after it, and the layer's call.
    product
        How products of two factors that both depend on the contributions are split, as in
        :mod:`normlens.engine.frozen`.
    shares
        Whether contribution weights are measured as well.

    Yields
    ------
    Pusher
        Pushes contributions through the layer.
    """
    direction, batch = Forward(lambda group, x: torch.zeros_like(x)), block.call.output.shape[0]
    with torch.no_grad(), frozen_run(model, direction, batch=batch, product=product, sources=()) as run:
        yield Pusher(block, layer, call, run, direction, dict(model.named_modules()), shares=shares)


class Pusher:
    """Pushes contributions through the rest of one layer; see :func:`pushing`.

    Attributes
    ----------
    contributions
        The contributions of the attention block, which enter the rest of the layer.
    """

    def __init__(
        self,
        block: Block,
        layer: LayerAnatomy,
        call: LayerCall,
        run: FrozenRun,
        direction: Forward,
        modules: dict[str, nn.Module],
        *,
        shares: bool = False,
    ) -> None:
        self.contributions = Contributions(block, block.scopes[-1])
        self._layer, self._call, self._run, self._modules = layer, call, run, modules
        self._direction, self._cross, self._start = direction, block.cross, block.output
        self._shares = shares

    def push(
        self, weights: Float[Tensor, "batch head target source"], target_slice: slice, chunk_size: int | None = None
    ) -> Pushed:
        """Measure the contributions to the targets of ``target_slice`` at every scope of the layer.

        Parameters
        ----------
        weights
            α of these targets.
        target_slice
            These targets.
        chunk_size
            Number of sources to push at a time; None for about 2048 vectors at a time.
        """
        batch, _, targets, sources = weights.shape
        at_once = chunk_size or max(1, _POSITIONS // (batch * targets))
        outputs = self._outputs(target_slice) if self._shares else {}
        start_here = self._start[:, target_slice]
        tallies = {s: _Tally.empty(start_here, sources, outputs.get(s)) for s in self._layer.scopes}
        for start in range(0, sources, at_once):
            source_slice = slice(start, min(start + at_once, sources))
            seeds = self.contributions.vectors(target_slice, source_slice, weights)
            if seeds.any():
                for scope, (_, vectors) in self._through(seeds, target_slice).items():
                    tallies[scope].add(vectors, source_slice, self.contributions.diagonal(target_slice, source_slice))
        if self._cross and (own := self.contributions.own(target_slice)) is not None:
            for scope, (_, vectors) in self._through(own[:, :, None], target_slice).items():
                tallies[scope].add_own(vectors[:, :, 0])
        bias = self.contributions.bias(target_slice)[:, :, None]
        produced = self._through(bias, target_slice, constants=True)
        return self._pushed(tallies, produced, target_slice)

    def _outputs(self, target_slice: slice) -> dict[BlockScope, Float[Tensor, "batch target d"]]:
        """The sum of all contributions at every scope: the output without biases."""
        total = self.contributions.output(target_slice) - self.contributions.bias(target_slice)
        return {
            scope: vectors[:, :, 0] for scope, (_, vectors) in self._through(total[:, :, None], target_slice).items()
        }

    def _through(
        self, seeds: Float[Tensor, "batch target few d"], target_slice: slice, constants: bool = False
    ) -> dict[BlockScope, tuple[Tensor, Tensor]]:
        """Value and derivative at every scope, ``(batch, target, d)`` and ``(batch, target, few, d)``."""
        batch, targets, copies, d = seeds.shape
        arrangement = Arrangement(batch, self._start.shape[1], target_slice, copies)
        point = self._start[:, target_slice].repeat_interleave(copies, 0)
        rows = seeds.movedim(2, 1).reshape(batch * copies, targets, d)
        self._direction.follow_constants = constants

        def enter(computed: Tensor) -> Tensor:
            return self._run.mode.admit(lambda: forward_ad.make_dual(point.to(computed.dtype), rows.to(computed.dtype)))

        by_scope = {}
        with dual_level():
            with self._run.mode, self._failures_explained(targets):
                vectors = run_rest(self._call, self._layer, self._modules, arrangement, enter)
            for scope in self._layer.scopes:
                value = working_precision(forward_ad.unpack_dual(vectors[scope]).primal)
                change = tangent(vectors[scope])
                change = torch.zeros_like(value) if change is None else working_precision(change)
                by_scope[scope] = value, change.reshape(batch, copies, targets, -1).movedim(1, 2)
        return by_scope

    @contextmanager
    def _failures_explained(self, targets: int) -> Iterator[None]:
        """Add advice to the error of a layer that can no longer run on its own."""
        try:
            yield
        except NormLensError:
            raise
        except FAILURES as error:
            if is_out_of_memory(error):
                raise
            raise UnsupportedArchitecture(
                f"{self._layer.path} can't run on its own on {targets} of {self._start.shape[1]} targets "
                f"({type(error).__name__}: {error}). Omit chunk_size, or use through='attention'."
            ) from error

    def _pushed(
        self, tallies: dict[BlockScope, _Tally], produced: dict[BlockScope, tuple[Tensor, Tensor]], target_slice: slice
    ) -> Pushed:
        pushed = Pushed({}, {}, {}, {})
        for scope, tally in tallies.items():
            value, bias = produced[scope]
            output = first_tensor(self._call.output) if scope == "block" else None
            value = value if output is None else working_precision(output)[:, target_slice]
            pushed.norm[scope] = tally.norm
            pushed.own[scope] = tally.kept.norm(dim=-1)
            pushed.mixing_ratio[scope] = mixing_ratio(tally.total - tally.kept, tally.kept)
            pushed.conservation_error[scope] = conservation_error(tally.total + bias[:, :, 0], value)
            if tally.products is not None and tally.output is not None:
                own = (tally.kept * tally.output).sum(-1) if self._cross else None
                pushed.contribution_weight[scope] = in_shares(tally.products, own)
        return pushed


@dataclass
class _Tally:
    """Sums over the contributions at one scope, source by source.

    Attributes
    ----------
    norm
        ‖c_ij‖.
    total, kept
        Σ_j c_ij, and the target's own contribution in it, ``(batch, target, d)``.
    output, products
        Σ_j c_ij, computed beforehand, and ⟨c_ij, output_i⟩; None unless contribution weights are measured.
    """

    norm: Float[Tensor, "batch target source"]
    total: Float[Tensor, "batch target d"] = field(repr=False)
    kept: Float[Tensor, "batch target d"] = field(repr=False)
    output: Float[Tensor, "batch target d"] | None = None
    products: Float[Tensor, "batch target source"] | None = None

    @classmethod
    def empty(cls, like: Float[Tensor, "batch target d"], sources: int, output: Tensor | None) -> _Tally:
        norm = like.new_zeros(*like.shape[:2], sources)
        products = None if output is None else torch.zeros_like(norm)
        return cls(norm, torch.zeros_like(like), torch.zeros_like(like), output, products)

    def add(
        self, vectors: Float[Tensor, "batch target few d"], source_slice: slice, diagonal: tuple[list[int], list[int]]
    ) -> None:
        """Add the contributions of some sources; ``diagonal`` gives the indices where target and source coincide."""
        targets, sources = diagonal
        self.norm[:, :, source_slice] = torch.linalg.vector_norm(vectors, dim=-1)
        self.total += vectors.sum(2)
        self.kept[:, targets] += vectors[:, targets, sources]
        if self.products is not None and self.output is not None:
            self.products[:, :, source_slice] = (vectors @ self.output[..., None])[..., 0]

    def add_own(self, vectors: Float[Tensor, "batch target d"]) -> None:
        """Add the contributions of the targets' own vectors, which are no source."""
        self.kept += vectors
        self.total += vectors
