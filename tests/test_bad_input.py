"""Bad input: each refused with what was seen and the next step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from architectures import tiny
from transformers import GPT2LMHeadModel, LlamaForCausalLM

import normlens
from normlens.errors import InvalidInput, NormLensError, UnsupportedArchitecture

MakeLens = Callable[..., normlens.Lens]
Ids = Callable[..., list[int]]


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("", {}, "empty"),
        (" \n\t", {}, "empty"),
        ("[CLS] [SEP]", {}, "special tokens and nothing else"),
        ("the " * 80, {}, "82 tokens; this model takes at most 64"),
        ([3, 99], {}, "vocabulary has 99"),
        ([3, -1], {}, "vocabulary has 99"),
        ([{"role": "user", "content": "the cat"}], {}, "no chat template"),
        ("the cat", {"target_text": "the dog"}, "no decoder"),
        ("the cat", {"generate": 3}, "can generate"),
        ("the cat", {"chunk_size": 0}, "chunk_size"),
        ("the cat", {"batch_size": 0}, "batch_size"),
        ("the cat", {"padding": "middle"}, "'middle'"),
        ("the cat", {"reduce": "everything"}, "'categories', 'sinks'"),
        ("the cat", {"reduce": lambda data: 3}, "xarray.Dataset"),
        ("the cat", {"reduce": lambda data: data.isel(target=[0])}, "with all 4 targets"),
        (3.5, {}, "expected a text"),
        (torch.zeros(3, 16, 16), {}, "image|pixel|input"),
    ],
)
def test_bad_input_is_refused_with_the_next_step(
    inputs: Any, options: dict[str, Any], message: str, reader: normlens.Lens
) -> None:
    with pytest.raises(InvalidInput, match=message):
        list(reader.analyze(inputs, **options))


def test_a_text_without_a_tokenizer_and_a_pair_without_a_target_are_refused(lens_of: MakeLens, tokens: Ids) -> None:
    with pytest.raises(InvalidInput, match="without a tokenizer"):
        lens_of("bert").analyze("the cat")
    with pytest.raises(InvalidInput, match="target_text="):
        lens_of("marian").analyze(tokens(4))


@pytest.mark.parametrize(
    ("model_class", "model_type"),
    [(GPT2LMHeadModel, "gpt2"), (LlamaForCausalLM, "llama")],
    ids=["learned positions", "rotary positions"],
)
@pytest.mark.parametrize(
    ("length", "count", "message"),
    [
        (
            60,
            5,
            "tokens is 60, with generate=5 65; this model takes at most 64. Generate at most 4, or shorten the prompt",
        ),
        (64, 1, "at most 64. Shorten the prompt"),
        (65, 1, "65 tokens; this model takes at most 64"),
    ],
)
def test_a_continuation_past_the_positions_is_refused_before_anything_runs(
    model_class: Any,
    model_type: str,
    length: int,
    count: int,
    message: str,
    tokens: Ids,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_class(tiny.configuration(model_type)).eval()
    monkeypatch.setattr(model, "generate", lambda *arguments, **options: pytest.fail("the model ran"))
    with pytest.raises(InvalidInput, match=message):
        normlens.load((model, None)).analyze(tokens(length), generate=count)


def test_a_continuation_may_reach_the_last_position(tokens: Ids) -> None:
    model = GPT2LMHeadModel(tiny.configuration("gpt2")).eval()
    assert normlens.load((model, None)).analyze(tokens(60), generate=4)["decoder"].data.sizes["source"] == 64


@pytest.mark.parametrize("model_type", ["squeezebert", "longformer", "yoso", "reformer"])
def test_an_unsupported_model_is_refused_with_the_reason(model_type: str, lens_of: MakeLens, tokens: Ids) -> None:
    with pytest.raises(UnsupportedArchitecture, match=r"projection|softmax"):
        lens_of(model_type).analyze(tokens(6))


@pytest.mark.parametrize("model_type", ["clip", "canine", "codegen", "lxmert", "idefics", "bros"])
def test_whatever_a_model_lacks_the_error_is_one_of_ours(model_type: str, tokens: Ids) -> None:
    lens = normlens.load((tiny.build(model_type), None))
    try:
        assert lens.analyze(tokens(6)).conservation_error <= 1e-5
    except NormLensError as error:
        assert len(str(error)) > 30


def test_chunks_are_refused_where_the_model_computes_attention_itself(lens_of: MakeLens, tokens: Ids) -> None:
    with pytest.raises(UnsupportedArchitecture, match="chunk_size"):
        lens_of("bloom").analyze(tokens(6), chunk_size=2)


def test_of_several_inputs_the_one_that_is_bad_is_named(reader: normlens.Lens) -> None:
    for ask in (reader.analyze, reader.attribute):
        with pytest.raises(InvalidInput, match=r"^Input 1, counted from 0: The text is empty"):
            list(ask(["the cat", "", "a dog"]))
        with pytest.raises(InvalidInput, match=r"^The text is empty"):
            ask("")


def test_a_missing_array_is_named_beside_those_there_are(lens_of: MakeLens) -> None:
    group = lens_of("bert").analyze([5, 7, 9])["encoder"]
    with pytest.raises(AttributeError, match=r"'norms' is not in this analysis, which has weight"):
        group.norms  # noqa: B018
    with pytest.raises(KeyError, match="'norms' is not in this analysis"):
        group["norms"]
