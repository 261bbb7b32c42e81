"""Norms at scope ``encoder`` (N-Enc of Modarressi et al. 2022): past the feed-forward, through the second LayerNorm.

The second residual carries the contributions c_ij after the first LayerNorm straight to the second one, whose input is
z_i = c_i + FFN(c_i); it turns them into (c_ij − mean c_ij) ⊙ γ / σ(z_i). If no norm follows the second sum (pre-norm,
sandwich and parallel blocks), the contributions pass unchanged, and N-Enc equals N-Res; this is our extension, since the
paper has post-norm encoders only. In a decoder with cross-attention the feed-forward follows the cross-attention; its
self-attention keeps its own last scope.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from normlens.analysis.visit import BlockVectors
from normlens.attribution.maps.collect import Collected, last_scope
from normlens.attribution.maps.layer_maps import Maps
from normlens.attribution.subject import Subject
from normlens.engine.capture.hooks import leave_hooks
from normlens.engine.precision import working_precision
from normlens.engine.tracing.block import AppliedNorm
from normlens.engine.tracing.layer_numbers import same_layer
from normlens.engine.tracing.norms import NormForm, identify_norm
from normlens.errors import UnsupportedArchitecture

Done = Callable[[BlockVectors, AppliedNorm | None], None]
"""Takes a block and the norm after its feed-forward; None if the block has no feed-forward of its own."""


def encoder_norms(subject: Subject, chunk_size: int) -> list[Maps]:
    """‖c_ij‖ at scope ``encoder`` for every layer of every text.

    Parameters
    ----------
    subject
        The model and the texts.
    chunk_size
        Number of targets whose vectors are in memory at a time.

    Raises
    ------
    UnsupportedArchitecture
        If a feed-forward doesn't end as defined: in a norm of its sum with the attention block's output.
    """
    collected = Collected(subject)

    def done(vectors: BlockVectors, norm: AppliedNorm | None) -> None:
        collected.measure(vectors, chunk_size, lambda rows, own, output, targets: _norms(rows, own, norm, targets))

    scope = last_scope(subject)
    if scope == "residual":
        subject.visit(scope, lambda vectors: done(vectors, None))
    else:
        with ExitStack() as stack:
            seeker = _SecondNorms(subject, done, stack)
            subject.visit(scope, seeker.visit)
            seeker.finish()
    return [collected.of_text(text) for text in range(len(subject))]


def _norms(moved: Tensor, own: Tensor, norm: AppliedNorm | None, targets: slice) -> tuple[Tensor, Tensor]:
    """Norms, after the second norm, of the contributions to some targets and of their own vectors in the residual stream."""
    if norm is not None:
        scale = norm.scale[:, targets]
        moved, own = norm.form.linear(moved) * scale[:, :, None], norm.form.linear(own) * scale
    return moved.norm(dim=-1), own.norm(dim=-1)


class _SecondNorms:
    """Finds the norm after each block's feed-forward while the model runs.

    It is the first norm in the layer whose input is the attention block's output plus what a module has just returned.
    """

    def __init__(self, subject: Subject, done: Done, stack: ExitStack) -> None:
        self._model, self._done, self._stack = subject.model, done, stack
        self._paths: dict[nn.Module, str] = {}
        self._forms: dict[nn.Module, NormForm] = {}
        self._waiting: BlockVectors | None = None
        self._returned: deque[Tensor] = deque(maxlen=4)

    def visit(self, vectors: BlockVectors) -> None:
        """Register a block whose attention has ended."""
        if not self._paths:  # the run refuses hooks that were there before it
            self._paths = _leaves_beside(self._model, vectors)
            self._stack.enter_context(leave_hooks(self._paths, self._leave))
        if self._waiting is not None:
            if vectors.group != "cross" or self._waiting.group != "decoder":
                self.finish()
            self._done(self._waiting, None)
        self._returned.clear()
        self._waiting = vectors

    def finish(self) -> None:
        """Refuse a block that is still waiting for the norm after its feed-forward."""
        if self._waiting is not None:
            raise UnsupportedArchitecture(
                f"After {self._waiting.block.path} no norm takes the sum of the attention block's output and the "
                "feed-forward's, so scope 'encoder' isn't defined. Use scope='layernorm' or scope='block'."
            )

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        if self._waiting is None or not isinstance(output, Tensor):
            return
        block, path = self._waiting.block, self._paths[module]
        inputs = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        if "norm" in type(module).__name__.lower() and inputs and block.outer_norm and path != block.outer_norm.path:
            before, after = working_precision(inputs[0]), working_precision(output)
            if same_layer(path, block.path) and self._is_second_sum(before, block.outer_norm.after):
                if module not in self._forms:
                    self._forms[module] = identify_norm(module, before, after, output.dtype)
                form = self._forms[module]
                self._done(self._waiting, AppliedNorm(path, form, form.row_scale(before, after), before, after))
                self._waiting = None
                return
        self._returned.append(output)

    def _is_second_sum(self, x: Float[Tensor, "batch target d"], first: Float[Tensor, "batch target d"]) -> bool:
        if x.shape != first.shape:
            return False
        limit = 100 * torch.finfo(x.dtype if x.dtype == self._model.dtype else self._model.dtype).eps
        alike = (y for y in self._returned if y.shape == x.shape)
        return any(bool((x - first - y).norm() <= limit * x.norm()) for y in alike)


def _leaves_beside(model: nn.Module, vectors: BlockVectors) -> dict[nn.Module, str]:
    """The modules without children and their paths, named as the block's own module is."""
    modules = dict(model.named_modules())
    ends = (path for path, module in modules.items() if module is vectors.block.call.module)
    prefix = next(ends).removesuffix(vectors.block.path)
    return {m: p.removeprefix(prefix) for p, m in modules.items() if next(m.children(), None) is None}
