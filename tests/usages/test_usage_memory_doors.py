"""Usages: memory runs full somewhere in the model, at any call, through any function; the answer is one and the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

import normlens
from normlens.alignment.defaults import DEFAULT_MODEL
from normlens.clustering.model_heads import head_distances
from normlens.errors import OutOfMemory
from normlens.faithfulness import LensClassifier, evaluate, leave_one_out
from normlens.topk import implementation
from normlens.topk.needs import count_sources, quality_of

SMALL = {"vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT, IDS = "the cat sat here.", [10, 11, 12, 13]
ERRORS: dict[str, Callable[[], Exception]] = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "cpu": lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 21474836480 bytes."),
    "python": MemoryError,
}
Door = Callable[[normlens.Lens], Any]
DOORS: dict[str, tuple[str, Door]] = {
    "analyze": ("llama", lambda lens: lens.analyze(IDS)),
    "analyze, block": ("llama", lambda lens: lens.analyze(IDS, through="block")),
    "analyze, generate": ("llama", lambda lens: lens.analyze(IDS, generate=2)),
    "stream": ("llama", lambda lens: list(lens.stream([IDS, IDS[:3]], progress=False))),
    "attribute": ("llama", lambda lens: lens.attribute(IDS)),
    **{
        f"attribute, {method}": ("llama", lambda lens, method=method: lens.attribute(IDS, method=method))
        for method in (
            "alti",
            "rollout",
            "value_zeroing",
            "logit",
            "alti_logit",
            "gradient_input",
            "integrated_gradients",
        )
    },
    "attribute, several": ("bert", lambda lens: list(lens.attribute([TEXT, "a dog ran"]))),
    "align": ("marian", lambda lens: normlens.align("das ist ein Hund", "this is a dog", model=lens)),
    "cluster heads": ("bert", lambda lens: head_distances(lens, [TEXT])),
    "count sources": ("llama", lambda lens: count_sources(lens, {"input_ids": torch.tensor([IDS])})),
    "quality": ("llama", lambda lens: quality_of(lens.model, torch.tensor([IDS])).now()),
    "evaluate": ("bert", lambda lens: evaluate(lens, [TEXT], {"a": [[0.1, 0.2, 0.3, 0.4, 0.5]]}, progress=False)),
    "leave one out": ("bert", lambda lens: leave_one_out(lens, TEXT)),
    "classify": ("bert", lambda lens: LensClassifier(lens, batch_size=1).probabilities([(2, 5, 3), (2, 6, 3)])),
}


@pytest.fixture(scope="module")
def lenses(tokenizer: PreTrainedTokenizerFast) -> dict[str, normlens.Lens]:
    torch.manual_seed(0)
    return {
        "bert": normlens.load((BertForSequenceClassification(BertConfig(**SMALL)), tokenizer)),
        "llama": normlens.load((LlamaForCausalLM(LlamaConfig(**SMALL)), None)),
        "marian": normlens.load(DEFAULT_MODEL or pytest.skip("bundles no translation models")),
    }


@pytest.mark.parametrize("measure", ["weight", "norm"])
@pytest.mark.parametrize("kind", ERRORS)
def test_top_k_attention_says_that_memory_is_full(
    kind: str, measure: str, lenses: dict[str, normlens.Lens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the comparison before the first run, and in a call of the attention later; the model stays usable."""
    model, ids = lenses["llama"].model, torch.tensor([IDS])
    with normlens.topk.use(model, k=2, measure=measure):
        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.Linear, "forward", lambda *_: (_ for _ in ()).throw(ERRORS[kind]()))
            with pytest.raises(OutOfMemory, match="the inputs and the model are not at fault"):
                model(ids)
        expected = model(ids).logits
        with monkeypatch.context() as patch:
            patch.setattr(implementation, "topk_attention", lambda *_, **__: (_ for _ in ()).throw(ERRORS[kind]()))
            with pytest.raises(OutOfMemory, match="Use a smaller chunk_size") as raised:
                model(ids)
        assert ("20 GiB more" in str(raised.value) or "21.5 GB more" in str(raised.value)) == (kind != "python")
        assert torch.equal(model(ids).logits, expected)


@pytest.mark.parametrize("at", [1, 10])
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("name", DOORS)
def test_every_function_says_that_memory_is_full(
    name: str, kind: str, at: int, lenses: dict[str, normlens.Lens], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, door = DOORS[name]
    lens, own, calls = lenses[model], torch.nn.Linear.forward, 0

    def fail(self: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == at:
            raise ERRORS[kind]()
        return own(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Linear, "forward", fail)
        with pytest.raises(OutOfMemory, match="the inputs and the model are not at fault") as raised:
            door(lens)
    assert ("20 GiB more" in str(raised.value) or "21.5 GB more" in str(raised.value)) == (kind != "python")
    lens.analyze(IDS, **({"target_text": IDS} if model == "marian" else {}))
