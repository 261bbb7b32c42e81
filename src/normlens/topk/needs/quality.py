"""How well a model works when its attention keeps fewer sources: next tokens of decoders, embeddings of encoders."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity
from transformers import PreTrainedModel

from normlens.engine.computation import computing
from normlens.engine.trained import require_trained
from normlens.errors import UnsupportedArchitecture

_ROWS = 128  # predictions processed at a time


def quality_of(model: PreTrainedModel, ids: Int[Tensor, "text token"]) -> PredictionQuality | EmbeddingQuality:
    """Run a model with its ordinary attention, as the reference for later runs.

    Parameters
    ----------
    model
        A decoder, which predicts next tokens; or an encoder, whose mean-pooled embeddings are compared.
    ids
        Texts of one length, without padding.

    Raises
    ------
    UnsupportedArchitecture
        For encoder–decoders, and models that don't read text.

    Examples
    --------
    >>> dense = quality_of(model, ids)  # doctest: +SKIP
    >>> with normlens.topk.use(model, k=8):  # doctest: +SKIP
    ...     print(dense.now())
    """
    if model.config.is_encoder_decoder or model.main_input_name != "input_ids":
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is neither a text encoder nor a text decoder; expected one, to compare next tokens or "
            "embeddings. Compare its outputs inside and outside normlens.topk.use yourself."
        )
    return PredictionQuality(model, ids) if predicts_tokens(model) else EmbeddingQuality(model, ids)


def predicts_tokens(model: PreTrainedModel) -> bool:
    """Whether a model continues texts."""
    return bool(model.can_generate())


class PredictionQuality:
    """The predictions of a decoder, compared with those of the reference run.

    Parameters
    ----------
    model, ids
        As for `quality_of`. The logits are kept, text × token × vocabulary numbers.

    Attributes
    ----------
    dense
        Mean negative log-likelihood of a text's next tokens, in nats, under "nll".
    """

    def __init__(self, model: PreTrainedModel, ids: Int[Tensor, "text token"]) -> None:
        self._model, self._ids = model, ids.to(model.device)
        self._logits = self._run()
        numbers = next_token_numbers(self._logits, self._logits, self._ids)
        self.dense: dict[str, NDArray[np.float64]] = {"nll": numbers["nll"]}

    def now(self) -> dict[str, NDArray[np.float64]]:
        """Run the model in its current state.

        Returns
        -------
        dict
            One number per text: "nll" as above; "agreement", the share of positions whose most likely next token is
            unchanged; "divergence", the mean Kullback–Leibler divergence from the reference, in nats.
        """
        return next_token_numbers(self._run(), self._logits, self._ids)

    @computing()
    def _run(self) -> Float[Tensor, "text token vocabulary"]:
        require_trained(self._model, lambda: self._model(input_ids=self._ids, use_cache=False).logits)
        with torch.no_grad():
            logits: Tensor = self._model(input_ids=self._ids, use_cache=False).logits
        return logits


class EmbeddingQuality:
    """Mean-pooled embeddings, compared with those of the reference run.

    Parameters
    ----------
    model, ids
        As for `quality_of`.

    Attributes
    ----------
    dense
        Empty: an embedding has no quality by itself.
    """

    def __init__(self, model: PreTrainedModel, ids: Int[Tensor, "text token"]) -> None:
        self._model, self._ids = model.base_model, ids.to(model.device)
        self._embeddings = self._run()
        self.dense: dict[str, NDArray[np.float64]] = {}

    def now(self) -> dict[str, NDArray[np.float64]]:
        """Run the model in its current state; one "cosine" with the reference embedding per text."""
        return {"cosine": cosine_similarity(self._run(), self._embeddings, dim=-1).cpu().double().numpy()}

    @computing()
    def _run(self) -> Float[Tensor, "text d"]:
        require_trained(self._model, lambda: self._model(input_ids=self._ids).last_hidden_state)
        with torch.no_grad():
            states: Tensor = self._model(input_ids=self._ids).last_hidden_state
        return states.float().mean(dim=1)


def next_token_numbers(
    logits: Float[Tensor, "text token vocabulary"],
    dense: Float[Tensor, "text token vocabulary"],
    ids: Int[Tensor, "text token"],
) -> dict[str, NDArray[np.float64]]:
    """Numbers of `PredictionQuality.now` from logits and those of the reference run."""
    sums: dict[str, list[Tensor]] = {"nll": [], "agreement": [], "divergence": []}
    predictions = ids.shape[1] - 1
    for start in range(0, predictions, _ROWS):
        rows = slice(start, min(start + _ROWS, predictions))
        log_p, log_before = (x[:, rows].float().log_softmax(-1) for x in (logits, dense))
        following = ids[:, rows.start + 1 : rows.stop + 1, None]
        sums["nll"].append(-log_p.gather(-1, following).sum((1, 2)))
        sums["agreement"].append((log_p.argmax(-1) == log_before.argmax(-1)).float().sum(1))
        sums["divergence"].append((log_before.exp() * (log_before - log_p)).sum((1, 2)))
    return {name: (torch.stack(parts).cpu().double().sum(0) / predictions).numpy() for name, parts in sums.items()}
