"""The logit lens: what a model's own head would predict from the vectors behind each of its layers.

The output of the last layer is replaced by that of an earlier one, so that everything after the layers (the last norm, the
head, its scale and bias) is the model's own code. Those modules work on each position alone; therefore one run can read the
outputs of many layers, as if they were the texts of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from normlens.analysis.inspector import Inspector
from normlens.analysis.position_labels import columns_of
from normlens.engine.capture.hooks import evaluation_mode
from normlens.engine.computation import computing
from normlens.engine.locks import exclusive
from normlens.engine.tolerance import tolerance
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.inputs.batch import pad
from normlens.inputs.example import Example

NOTE = (
    "An approximation: the head was trained to read the last layer's vectors, and earlier ones may not be in its terms."
)
_MOST_LOGITS = 2**27  # in memory at a time


@computing()
def logit_lens(
    inspector: Inspector, tokenizer: PreTrainedTokenizerBase | None, example: Example, top: int
) -> xr.Dataset:
    """The most probable tokens by the outputs of each layer.

    Parameters
    ----------
    inspector
        Inspects a model with a head that predicts tokens.
    tokenizer
        Names the tokens; None: by their ids.
    example
        The input.
    top
        Number of tokens at each layer and position.

    Returns
    -------
    xarray.Dataset
        As :meth:`normlens.Lens.logit_lens`. The last layer's are the model's own predictions: the next token in a decoder.

    Raises
    ------
    InvalidInput
        If the model has no such head.
    UnsupportedArchitecture
        If its layers aren't a sequence, each of which reads what the one before it returns.

    References
    ----------
    nostalgebraist (2020), interpreting GPT: the logit lens.
    """
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise InvalidInput(f"top is {top!r}; expected a positive integer.")
    model = inspector.model
    tokens = example.source if example.target is None else example.target
    if tokens is None:
        raise InvalidInput("The logit lens shows tokens; expected a text or token ids.")
    layout = inspector.inspection(example).layout
    group = "decoder" if "decoder" in layout.groups else next(iter(layout.groups))
    layers = _layers_of(inspector.body, [block.path for block in layout.groups[group]])
    inputs = pad([example], getattr(model.config, "pad_token_id", None) or 0, model.device, "right")
    with exclusive(model), torch.no_grad(), evaluation_mode(model):
        whole = _Run(model, layers, inputs)
        final = whole.logits(None)
        if final.shape[:2] != (1, len(tokens)):
            raise InvalidInput(
                f"{type(model).__name__} returns logits of shape {tuple(final.shape)}; expected (1, {len(tokens)}, "
                "vocabulary), one row for each token. Load the model with a head that predicts tokens."
            )
        whole.require_chain()
        at_once = max(1, _MOST_LOGITS // final[0].numel())
        chunks = [range(start, min(start + at_once, len(layers))) for start in range(0, len(layers), at_once)]
        best = [_best(whole.logits(list(chunk)), top) for chunk in chunks]
        _require_same(whole.logits([len(layers) - 1])[0], final[0], model)
    ids, logits, probabilities = (torch.cat(parts).cpu().numpy() for parts in zip(*best, strict=True))
    return xr.Dataset(
        {
            "token": (("layer", "target", "rank"), _names(tokenizer, ids)),
            "id": (("layer", "target", "rank"), ids),
            "probability": (("layer", "target", "rank"), probabilities, {"long_name": "probability"}),
            "logit": (("layer", "target", "rank"), logits, {"long_name": "logit"}),
        },
        coords={"layer": np.arange(len(layers)), **columns_of("target", tokens, np.arange(len(tokens)))},
        attrs={"note": NOTE},
    )


class _Run:
    """Runs of a model whose last layer returns what earlier layers returned."""

    def __init__(self, model: PreTrainedModel, layers: Sequence[nn.Module], inputs: dict[str, Tensor]) -> None:
        self._model, self._layers, self._inputs = model, layers, inputs
        self._entered: list[Tensor | None] = [None] * len(layers)
        self._calls = [0] * len(layers)
        self._returned: list[Tensor | None] = [None] * len(layers)

    def logits(self, read: Sequence[int] | None) -> Float[Tensor, "layer position token"]:
        """The logits by the outputs of some layers; None: the model as it is."""
        hooks: list[Any] = []
        for index, layer in enumerate(self._layers):
            hooks.append(layer.register_forward_pre_hook(self._entering(index), with_kwargs=True))
            hooks.append(layer.register_forward_hook(self._returning(index, read)))
        try:
            output = self._model(**self._inputs, **({"use_cache": False} if self._model.can_generate() else {}))
        finally:
            for hook in hooks:
                hook.remove()
        logits = getattr(output, "logits", None)
        if logits is None or logits.ndim != 3:
            raise InvalidInput(
                f"{type(self._model).__name__} has no head that predicts tokens; expected logits for each position. Load a "
                "language model."
            )
        result: Tensor = logits.float()
        return result

    def require_chain(self) -> None:
        """Refuse layers that run several times, or don't read what the one before them returned."""
        if max(self._calls) > 1:
            raise UnsupportedArchitecture(
                f"A layer of {type(self._model).__name__} runs several times, so that the last layer can't stand for an "
                "earlier one."
            )
        for index in range(1, len(self._layers)):
            entered, before = self._entered[index], self._returned[index - 1]
            if entered is None or before is None or entered.shape != before.shape or not torch.equal(entered, before):
                raise UnsupportedArchitecture(
                    f"Layer {index} of {type(self._model).__name__} reads something other than the output of layer "
                    f"{index - 1}, so that the last layer can't stand for an earlier one."
                )

    def _entering(self, index: int) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and x.is_floating_point()]
            self._entered[index] = tensors[0].clone() if tensors else None
            self._calls[index] += 1

        return hook

    def _returning(self, index: int, read: Sequence[int] | None) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            first = output[0] if isinstance(output, tuple) else output
            self._returned[index] = first.clone()
            if read is None or index < len(self._layers) - 1:
                return None
            states = torch.cat([x for k in read if (x := self._returned[k]) is not None])
            return (states, *output[1:]) if isinstance(output, tuple) else states

        return hook


def _layers_of(model: nn.Module, attentions: Sequence[str]) -> list[nn.Module]:
    """The list of layers that holds all of these attention blocks, with layers that have none."""
    modules = dict(model.named_modules())
    lists: set[str] = set()
    for path in attentions:
        names = path.split(".")
        above = [".".join(names[: n + 1]) for n in range(len(names))]
        lists.add(next((name for name in above if isinstance(modules.get(name), nn.ModuleList)), ""))
    if len(lists) != 1 or "" in lists:
        raise UnsupportedArchitecture(f"The attention blocks of {type(model).__name__} aren't in one list of layers.")
    return list(modules[lists.pop()].children())


def _best(logits: Float[Tensor, "layer position token"], top: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, logits and probabilities of the largest ones."""
    values, ids = logits.topk(min(top, logits.shape[-1]), dim=-1)
    return ids, values, (values - logits.logsumexp(-1, keepdim=True)).exp()


def _require_same(replaced: Tensor, final: Tensor, model: PreTrainedModel) -> None:
    """Refuse a model that predicts otherwise when its last layer returns what it returns anyway."""
    gap = float((replaced - final).abs().max() / final.abs().max().clamp_min(torch.finfo(final.dtype).tiny))
    if not gap <= tolerance(model.dtype, "other operations"):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} predicts otherwise when outputs of layers are read as a batch (relative difference "
            f"{gap:.0e}): something after its layers depends on more than a position's vector."
        )


def _names(tokenizer: PreTrainedTokenizerBase | None, ids: np.ndarray) -> np.ndarray:
    distinct = np.unique(ids)
    names = {int(k): str(k) if tokenizer is None else tokenizer.decode([int(k)]) for k in distinct}
    return np.array([names[int(k)] for k in ids.ravel()], dtype=str).reshape(ids.shape)
