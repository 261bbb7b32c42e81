"""A model that fails on its first run: the input is named only where it is at fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from architectures import tiny
from transformers import BertForMaskedLM, PreTrainedModel

import normlens
from normlens.engine import frozen
from normlens.errors import InvalidInput, ModelError, OutOfMemory

IDS = [5, 7, 9, 11]
Ask = Callable[[normlens.Lens], Any]


def analyze(lens: normlens.Lens) -> Any:
    return lens.analyze(IDS)


def attribute(lens: normlens.Lens) -> Any:
    return lens.attribute(IDS, target=5, position=1)


def pull_back(lens: normlens.Lens) -> Any:
    inputs = {"input_ids": torch.tensor([IDS])}
    return frozen.pull_back(lens.model, inputs, lambda output: output.logits[:, 0, 0])


ASKED = pytest.mark.parametrize("ask", [analyze, attribute, pull_back])


def model_with(forward: Callable[..., Any]) -> PreTrainedModel:
    """A tiny BERT in which the embeddings' norm runs ``forward`` around its own."""
    model = BertForMaskedLM(tiny.configuration("bert")).eval()
    norm = model.bert.embeddings.LayerNorm
    own = norm.forward
    norm.forward = lambda x: forward(own, x)
    return model


@ASKED
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no kernel"), KeyError("rank"), ZeroDivisionError("by zero"), AssertionError("state"),
        ValueError("input_ids"), TypeError("'NoneType' object is not subscriptable"), OSError("gone"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_an_error_of_the_models_own_is_told_as_its_own(error: Exception, ask: Ask) -> None:
    def fails(own: Callable[..., Any], x: torch.Tensor) -> Any:
        raise error

    with pytest.raises(ModelError, match=rf"itself fails on .*{type(error).__name__}: ") as raised:
        ask(normlens.load((model_with(fails), None)))
    assert not isinstance(raised.value, InvalidInput)
    assert raised.value.__cause__ is error


@ASKED
def test_a_full_memory_stays_one(ask: Ask) -> None:
    def fails(own: Callable[..., Any], x: torch.Tensor) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises((OutOfMemory, torch.OutOfMemoryError)):
        ask(normlens.load((model_with(fails), None)))


@ASKED
def test_a_forward_may_switch_cudnn(ask: Ask) -> None:
    def plain(own: Callable[..., Any], x: torch.Tensor) -> Any:
        with torch.backends.cudnn.flags(enabled=False):
            assert torch.backends.cuda.matmul.allow_tf32 is False
            return own(x)

    before = torch.backends.cudnn.allow_tf32
    ask(normlens.load((model_with(plain), None)))
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize(
    ("model_type", "missing"),
    [
        ("clip", "pixel_values"), ("siglip", "pixel_values"), ("owlvit", "pixel_values"),
        ("lxmert", "visual_feats"), ("bros", "bbox"),
    ],
)  # fmt: skip
def test_an_input_that_lacks_something_is_told_what(model_type: str, missing: str) -> None:
    with pytest.raises(InvalidInput, match=rf"without [\w, ]*{missing}\b.*processor"):
        normlens.load((tiny.build(model_type), None)).analyze(IDS)


def test_an_input_of_another_kind_is_told_what_was_expected() -> None:
    with pytest.raises(InvalidInput, match="BertModel takes no pixel_values; expected input_ids at least"):
        normlens.load((tiny.build("bert"), None)).analyze(torch.zeros(3, 16, 16))


def test_weights_that_were_offloaded_after_loading_are_named() -> None:
    lens = normlens.load((tiny.build("bert"), None))
    lens.analyze(IDS)
    lens.model.encoder.layer[1].to("meta")
    with pytest.raises(InvalidInput, match=r"encoder\.layer\.1\.\S+ are not in memory.*without offloading"):
        lens.analyze(IDS)
