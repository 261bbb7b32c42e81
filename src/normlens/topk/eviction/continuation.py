"""A model run for real after an eviction: how much worse it predicts what follows the text."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import DynamicCache

from normlens.engine.capture.hooks import evaluation_mode
from normlens.engine.capture.interface import asks_for_eager, has_interface
from normlens.engine.computation import computing
from normlens.engine.locks import exclusive
from normlens.engine.trained import require_trained
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.topk.eviction.attention_without import BatchKept, without_evicted
from normlens.topk.eviction.choosing import Pairs
from normlens.topk.eviction.evicted_pairs import Eviction
from normlens.topk.eviction.text_reading import TextReading, read_beginning, reads_in_two_steps
from normlens.topk.needs.quality import next_token_numbers, predicts_tokens


class Continuation:
    """What a decoder predicts after a text, with all pairs of the text and without those that were evicted.

    Parameters
    ----------
    reading
        The text, of a decoder.
    following
        The ids of the tokens that follow it. The first is given; the others are predicted.

    Raises
    ------
    InvalidInput
        If fewer than two tokens follow.
    UnsupportedArchitecture
        If the model predicts no tokens, or its attention can't be switched. The meter works all the same.
    """

    def __init__(self, reading: TextReading, following: Int[Tensor, " token"]) -> None:
        model = reading.inspector.model
        if reading.example.target is not None or not predicts_tokens(model):
            raise UnsupportedArchitecture(
                f"{type(model).__name__} doesn't continue a text, so it can't be run after an eviction. Load a decoder with "
                "its language-model head."
            )
        if not has_interface(model) or asks_for_eager(model):
            raise UnsupportedArchitecture(
                f"{type(model).__name__} computes attention inside its own modules, so pairs can't be hidden from it. The "
                "errors of its outputs are measured all the same."
            )
        if len(following) < 2:
            raise InvalidInput(f"The continuation has {len(following)} tokens; expected at least 2, to predict one.")
        self._reading, self._model = reading, model
        self._ids = reading.example.tensors["input_ids"]
        self._following = following.to(self._ids)
        self._cache = self._beginning()
        require_trained(model, lambda: self._model(input_ids=self._ids[None], use_cache=False).logits)
        self._logits = self._run({})
        self.dense = {"nll": float(self._numbers(self._logits)["nll"][0])}

    def now(self, eviction: Eviction | Pairs) -> dict[str, float]:
        """Run the model without the pairs that were evicted.

        Parameters
        ----------
        eviction
            From `normlens.topk.eviction.evict` or `measure_eviction` on the same text.

        Returns
        -------
        dict
            "nll", mean negative log-likelihood of the tokens that follow, in nats; "rise", its difference from that with all
            pairs; "agreement", the share of positions with the same most likely next token; "divergence", the mean
            Kullback–Leibler divergence from the predictions with all pairs, in nats.
        """
        [numbers] = self.each([eviction])
        return numbers

    def each(self, evictions: Sequence[Eviction | Pairs]) -> list[dict[str, float]]:
        """The numbers of `now` for several evictions, which are run together."""
        numbers = self._numbers(self._run(*self._batched(evictions)))
        return [
            {"rise": float(numbers["nll"][k]) - self.dense["nll"], **{name: float(x[k]) for name, x in numbers.items()}}
            for k in range(len(evictions))
        ]

    def token_losses(self, evictions: Sequence[Eviction | Pairs] = ()) -> Float[np.ndarray, "eviction token"]:
        """Negative log-likelihood of every token that follows but the first, in nats: with all pairs, then per eviction."""
        rows = [self._logits]
        for eviction in evictions:
            rows.append(self._run(*self._batched([eviction])))
        logits = torch.cat([x[:, :-1] for x in rows]).float().log_softmax(-1)
        target = self._following[1:].to(logits.device).expand(len(logits), -1)
        return -logits.gather(-1, target[..., None])[..., 0].cpu().double().numpy()

    def _batched(self, evictions: Sequence[Eviction | Pairs]) -> tuple[dict[nn.Module, BatchKept], int]:
        """The pairs of several evictions by attention module, and the number of evictions."""
        every = [eviction.pairs if isinstance(eviction, Eviction) else eviction for eviction in evictions]
        for pairs in every:
            self._check(pairs)
        first = every[0]
        return {self._reading.module(path): torch.stack([pairs[path, n] for pairs in every]) for path, n in first}, len(
            every
        )

    def _check(self, pairs: Pairs) -> None:
        if len({path for path, _ in pairs}) < len(pairs):
            raise UnsupportedArchitecture(
                f"Several layers of {type(self._model).__name__} share an attention module, so pairs can't be hidden from "
                "one of them. The errors of its outputs are measured all the same."
            )
        for mask in pairs.values():
            if mask.shape[1] != len(self._ids):
                raise InvalidInput(
                    f"The eviction is of a text of {mask.shape[1]} tokens; expected the text of this continuation, of "
                    f"{len(self._ids)}."
                )

    def _numbers(self, logits: Float[Tensor, "batch token vocabulary"]) -> dict[str, NDArray[np.float64]]:
        size = len(logits)
        return next_token_numbers(logits, self._logits.expand(size, -1, -1), self._following.expand(size, -1))

    @computing()
    def _beginning(self) -> DynamicCache | None:
        """The cache of the text; None if the model reads a text differently with a cache."""
        inspector = self._reading.inspector
        with exclusive(self._model):
            if len(self._ids) < 2 or not reads_in_two_steps(inspector, self._ids):
                return None
            return read_beginning(inspector, self._ids)

    @computing()
    def _run(self, kept: Mapping[nn.Module, BatchKept], size: int = 1) -> Float[Tensor, "batch token vocabulary"]:
        """Logits at the tokens that follow, for ``size`` evictions."""
        ids, options = self._following, dict[str, Any](use_cache=False)
        if self._cache is None:
            ids = torch.cat([self._ids, ids])
        else:
            cache = copy.deepcopy(self._cache)
            cache.batch_repeat_interleave(size)
            options = {"past_key_values": cache, "use_cache": True}
        with torch.no_grad(), evaluation_mode(self._model), without_evicted(self._model, kept):
            logits: Tensor = self._model(input_ids=ids.expand(size, -1).to(self._model.device), **options).logits
        return logits[:, -len(self._following) :]
