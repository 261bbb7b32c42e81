"""Push forward: contribution vectors at any module, and their agreement with pull back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from architectures import tiny
from architectures.test_frozen_matrix import DoublePrecision
from torch import Tensor

from normlens.engine.frozen import Push, Site, pull_back, push_forward, push_through
from normlens.errors import InvalidInput

TYPES = ["bert", "llama", "t5", "mixtral", "vit", "whisper", "gemma2", "gpt_oss", "wav2vec2-bert", "bloom", "qwen2_vl"]


def setting(model_type: str, batch: int = 2) -> tuple[Any, dict[str, Tensor]]:
    model = tiny.build(model_type, dtype=torch.float64)
    return model, tiny.inputs(model_type, model, batch=batch, length=6)


@pytest.mark.parametrize("model_type", TYPES)
def test_it_is_pull_back_source_by_source(model_type: str) -> None:
    model, inputs = setting(model_type)
    with DoublePrecision():
        pushed = push_forward(model, inputs, "")
        weights = torch.linspace(-1, 1, pushed.output[0].numel(), dtype=torch.float64).view_as(pushed.output[0])
        pulled = pull_back(model, inputs, lambda output: (output.last_hidden_state * weights).flatten(1).sum(1))
    contracted = (pushed.vectors * weights[:, None]).sum((1, 3))
    assert pushed.groups == pulled.groups
    assert float(((contracted - pulled.shares).abs().amax(1) / pulled.scale).max()) < 1e-9
    bias = (pushed.bias * weights).sum((1, 2))
    assert float(((bias - pulled.bias_share).abs() / pulled.scale).max()) < 1e-9
    assert float(pushed.conservation_error.max()) < 1e-9


def test_chunks_don_t_change_the_numbers() -> None:
    model, inputs = setting("llama")
    whole = push_forward(model, inputs, "layers.1")
    chunked = push_forward(model, inputs, "layers.1", chunk_size=4)
    assert torch.allclose(whole.vectors, chunked.vectors, atol=1e-7)
    chunks = list(Push(model, inputs, "layers.1", chunk_size=4))
    assert [(chunk.start, chunk.stop) for chunk in chunks] == [(0, 4), (4, 6)]
    assert chunks[1].vectors.shape == (2, 6, 2, 32)


def test_a_causal_model_pushes_nothing_backward() -> None:
    model, inputs = setting("gpt2")
    norms = push_forward(model, inputs, "h.1").vectors.norm(dim=-1)
    later = torch.ones(6, 6, dtype=torch.bool).triu(1)
    assert (norms[:, later] == 0).all()
    assert (norms[:, ~later] > 0).all()


def test_a_segment_continues_where_the_contributions_stopped() -> None:
    model, inputs = setting("bert")
    layer = model.encoder.layer[0]
    before = push_forward(model, inputs, "encoder.layer.0.attention")
    after = push_forward(model, inputs, "encoder.layer.0")
    through = push_through(
        model, lambda x: layer.output(layer.intermediate(x), x), before.output, before.vectors, chunk_size=4
    )
    assert torch.allclose(through.output, after.output)
    assert torch.allclose(through.vectors, after.vectors)
    assert torch.allclose(through.bias, after.bias)


def test_sources_may_be_a_blocks_input() -> None:
    model, inputs = setting("llama")
    pushed = push_forward(model, inputs, "layers.1.mlp", sources=Site("layers.1.mlp", "input"))
    off_diagonal = ~torch.eye(6, dtype=torch.bool)
    assert (pushed.vectors[:, off_diagonal] == 0).all()  # position-wise
    assert torch.allclose(pushed.vectors.sum(2), pushed.output)


def test_before_the_sources_nothing_is_pushed() -> None:
    model, inputs = setting("gpt2")
    pushed = push_forward(model, inputs, "h.0", sources=Site("h.1", "input"))
    assert (pushed.vectors == 0).all()


def test_a_module_that_does_not_run_is_an_error() -> None:
    model, inputs = setting("t5")
    model.unused = torch.nn.Linear(2, 2)
    with pytest.raises(InvalidInput, match="No floating tensor passed"):
        push_forward(model, inputs, "unused")


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("encoder.layer.9", {}, "no module 'encoder.layer.9'"),
        (7, {}, "int is not a site in the model"),
        ("", {"chunk_size": 0}, "chunk_size is 0; expected a positive integer"),
        ("", {"chunk_size": 2.5}, "chunk_size is 2.5"),
        ("", {"product": "x"}, "product is 'x'"),
        ("", {"sources": "nowhere"}, "no module 'nowhere'"),
        ("", {"sources": "encoder.layer"}, "No source entered at 'encoder.layer'"),
        (lambda output: None, {}, "NoneType; one number per row"),
    ],
)
def test_an_unknown_module_or_option_is_refused(module: Any, options: dict[str, Any], message: str) -> None:
    model, inputs = setting("bert")
    with pytest.raises(InvalidInput, match=message):
        push_forward(model, inputs, module, **options)


def test_ids_outside_the_embeddings_are_refused() -> None:
    model, inputs = setting("bert")
    with pytest.raises(InvalidInput, match=r"Ids from .* to 10000 .*word_embeddings"):
        push_forward(model, {"input_ids": torch.full_like(inputs["input_ids"], 10_000)}, "encoder.layer.0")


@pytest.mark.parametrize(
    ("shape", "segment", "message"),
    [
        ((2, 6, 32), lambda x: x, r"vectors \(2, 6, 32\); expected"),
        ((2, 6, 0, 32), lambda x: x, "at least one source"),
        ((2, 6, 3, 31), lambda x: x, r"vectors \(2, 6, 3, 31\)"),
        ((2, 6, 3, 32), lambda x: (x, None), "returned a tuple; hidden states"),
    ],
)
def test_contributions_that_do_not_fit_are_refused(shape: tuple[int, ...], segment: Any, message: str) -> None:
    model, _ = setting("bert")
    x = torch.ones(2, 6, 32, dtype=torch.float64)
    with pytest.raises(InvalidInput, match=message):
        push_through(model, segment, x, torch.zeros(shape, dtype=torch.float64))
