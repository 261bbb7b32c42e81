"""Targets of every kind of head, and what is refused at the door."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from attribution_models import lens_on, model_with_head
from torch import Tensor
from transformers import BertForMaskedLM, PreTrainedTokenizerFast

import normlens
from normlens.attribution import LogProbability, Predicted, VectorNorm
from normlens.errors import InvalidInput, UnsupportedArchitecture

IDS = [11, 12, 13, 14, 15]


def logits(task: str, model_type: str, ids: list[int] = IDS) -> Tensor:
    with torch.no_grad():
        text_logits: Tensor = model_with_head(task, model_type)(torch.tensor([ids])).logits[0]
    return text_logits


@pytest.fixture(scope="module")
def masked(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    """A masked language model that reads text; [UNK] is its mask."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.mask_token = "[UNK]"
    config = tiny.configuration("bert")
    torch.manual_seed(0)
    return normlens.load((BertForMaskedLM._from_config(config).double().eval(), tokenizer))


@pytest.mark.parametrize("name", ["good", "GOOD", 1])
def test_a_class_is_found_by_name_and_number(name: Any) -> None:
    result = lens_on("SequenceClassification", "bert").attribute(IDS, target=name)
    assert result.attrs["value"] == pytest.approx(float(logits("SequenceClassification", "bert")[1]), abs=1e-12)
    assert result.attrs["target"] == "logit of good"


@pytest.mark.parametrize(("position", "at"), [(None, 4), (1, 1), (-2, 3)])
def test_a_decoder_is_read_at_its_last_token_or_where_asked(position: int | None, at: int) -> None:
    result = lens_on("CausalLM", "gpt2").attribute(IDS, target=7, position=position)
    assert result.attrs["value"] == pytest.approx(float(logits("CausalLM", "gpt2")[at, 7]), abs=1e-12)
    assert result.attrs["target"] == f"logit of 7 at position {at} ('{IDS[at]}')"


def test_a_token_classifier_is_read_at_a_position() -> None:
    result = lens_on("TokenClassification", "bert").attribute(IDS, target="bad", position=2)
    assert result.attrs["value"] == pytest.approx(float(logits("TokenClassification", "bert")[2, 0]), abs=1e-12)


@pytest.mark.parametrize("edge", ["start", "end"])
@pytest.mark.parametrize("position", [None, 1])
def test_an_answer_has_a_start_and_an_end(edge: str, position: int | None) -> None:
    lens = lens_on("QuestionAnswering", "bert")
    with torch.no_grad():
        edge_logits = lens.model(torch.tensor([IDS]))[f"{edge}_logits"][0]
    expected = edge_logits.max() if position is None else edge_logits[position]
    assert lens.attribute(IDS, target=edge, position=position).attrs["value"] == pytest.approx(float(expected))


def test_a_masked_model_is_read_at_its_mask(masked: normlens.Lens) -> None:
    result = masked.attribute("the [UNK] sat here.", target=("dog", "##ness"))
    ids = result["source_id"].values
    with torch.no_grad():
        at_mask = masked.model(torch.tensor(ids[None])).logits[0, 2]
    vocabulary = masked.tokenizer.get_vocab()
    expected = float(at_mask[vocabulary["dog"]] - at_mask[vocabulary["##ness"]])
    assert result.attrs["value"] == pytest.approx(expected, abs=1e-10)
    assert result.attrs["target"].startswith("logit of 'dog' − ")


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("the cat sat.", "dog", r"holds 0 tokens \[UNK\]; expected one"),
        ("[UNK] [UNK] sat.", "dog", "holds 2 tokens"),
        ("the [UNK] sat.", "unhappiness", r"splits into \['un', '##happi', '##ness'\]"),
        ("the [UNK] sat.", 99, "an id from 0 to 98"),
    ],
)
def test_tokens_that_are_not_there_are_refused(masked: normlens.Lens, text: str, target: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        masked.attribute(text, target=target)


@pytest.mark.parametrize("target", [LogProbability(7), LogProbability(3)])
def test_a_log_probability_is_split_along_its_gradient(target: LogProbability) -> None:
    lens, index = lens_on("CausalLM", "gpt2"), int(target.of)
    result = lens.attribute(IDS, target=target)
    y = logits("CausalLM", "gpt2")[-1]
    slope = torch.eye(len(y), dtype=y.dtype)[index] - y.softmax(-1)
    vectors = torch.from_numpy(lens.attribute(IDS, vectors=True).values[-1])
    expected = vectors @ lens.model.lm_head.weight.detach().T @ slope
    assert np.abs(result.values - expected.numpy()).max() < 1e-10
    assert result.attrs["value"] == pytest.approx(float(y.log_softmax(-1)[index]), abs=1e-10)
    assert result.attrs["remainder"] == pytest.approx(float(y.log_softmax(-1)[index] - slope @ y), abs=1e-10)
    total = float(result.sum()) + result.attrs["bias_share"] + result.attrs["remainder"]
    assert total == pytest.approx(result.attrs["value"], abs=1e-10)


def test_a_log_probability_may_be_written_as_text() -> None:
    lens = lens_on("SequenceClassification", "bert")
    one, other = (lens.attribute(IDS, target=t) for t in ("logprob: good", LogProbability("good")))
    assert np.array_equal(one.values, other.values)
    assert one.attrs["target"] == "log-probability of good"


def test_a_linear_function_is_split_as_its_logit() -> None:
    lens = lens_on("CausalLM", "gpt2")
    function = lens.attribute(IDS, target=lambda output: output.logits[:, -1, 7] - 2 * output.logits[:, 0, 3] + 5)
    one, other = lens.attribute(IDS, target=7), lens.attribute(IDS, target=3, position=0)
    assert np.abs(function.values - (one.values - 2 * other.values)).max() < 1e-10
    assert function.attrs["remainder"] == pytest.approx(5, abs=1e-10)


@pytest.mark.parametrize("method", ["decompx", "gradient_input"])
def test_a_function_that_reads_the_last_position_never_meets_padding(method: str) -> None:
    lens, texts = lens_on("CausalLM", "gpt2"), [IDS, [21, 22, 23], [31, 32, 33, 34, 35], [41, 42]]

    def target(output: Any) -> Tensor:
        last: Tensor = output.logits[:, -1, 7]
        return last

    for text, shares in zip(texts, lens.attribute(texts, method=method, target=target), strict=True):
        assert shares.attrs["value"] == pytest.approx(float(logits("CausalLM", "gpt2", text)[-1, 7]), abs=1e-10)
        assert np.abs(shares.values - lens.attribute(text, method=method, target=target).values).max() < 1e-10


def test_the_models_own_prediction() -> None:
    best = int(logits("CausalLM", "gpt2")[-1].argmax())
    lens = lens_on("CausalLM", "gpt2")
    named = lens.attribute(IDS, target=best).values
    assert np.array_equal(lens.attribute(IDS, target=Predicted()).values, named)
    assert np.array_equal(lens.attribute(IDS).values, named)  # the default, as in the shell


def test_every_text_may_have_a_target_and_a_position_of_its_own() -> None:
    lens, texts = lens_on("CausalLM", "gpt2"), [IDS, [21, 22, 23]]
    results = lens.attribute(texts, target=[(5, 9), LogProbability(4)], position=[2, None])
    alone = [
        lens.attribute(texts[0], target=(5, 9), position=2), lens.attribute(texts[1], target=LogProbability(4)),
    ]  # fmt: skip
    for one, other in zip(results, alone, strict=True):
        assert np.abs(one.values - other.values).max() < 1e-10
        assert one.attrs["target"] == other.attrs["target"]


@pytest.mark.parametrize(
    ("task", "model_type", "options", "message"),
    [
        ("SequenceClassification", "bert", {"target": "goood"}, r"no class 'goood'.*'bad' \(0\).*mean 'good'"),
        ("SequenceClassification", "bert", {"target": 3}, "no class 3; its 3 are"),
        ("SequenceClassification", "bert", {"target": 1, "position": 0}, "classifies the whole text"),
        ("SequenceClassification", "bert", {"target": 1.5}, "expected a class"),
        ("SequenceClassification", "bert", {"target": (1, 2, 0)}, "a pair of them"),
        ("SequenceClassification", "bert", {"target": [1]}, "One text came with a list"),
        ("SequenceClassification", "bert", {"position": 1}, "classifies the whole text"),
        ("TokenClassification", "bert", {}, "expected position="),
        ("MaskedLM", "bert", {}, "expected position="),
        ("TokenClassification", "bert", {"target": 1}, "expected position=, from 0 to 4"),
        ("TokenClassification", "bert", {"target": 1, "position": 5}, "has 5 tokens, 0 to 4"),
        ("TokenClassification", "bert", {"target": 1, "position": "x"}, "position is 'x'"),
        ("QuestionAnswering", "bert", {"target": "middle"}, "expected 'start' or 'end'"),
        ("CausalLM", "gpt2", {"target": "Berlin"}, "without a tokenizer"),
        ("CausalLM", "gpt2", {"target": lambda output: output.logits}, r"has shape .*one number per text"),
        ("CausalLM", "gpt2", {"target": lambda output: None}, "is a NoneType"),
        ("CausalLM", "gpt2", {"target": lambda output: torch.ones(1)}, "doesn't depend on the model's output"),
        ("CausalLM", "gpt2", {"target": 5, "chunk_size": 0}, "chunk_size is 0"),
        ("CausalLM", "gpt2", {"target": 5, "method": "integrated_gradients", "tolerance": "abc"}, "tolerance is 'abc'"),
        ("CausalLM", "gpt2", {"target": 5, "product": "all"}, "product='all'; expected one of half"),
        ("CausalLM", "gpt2", {"target": 5, "batch_size": 0}, "batch_size is 0"),
        ("CausalLM", "gpt2", {"target": 5, "color": 1}, "decompx has no option 'color'; expected one of chunk_size"),
        ("CausalLM", "gpt2", {"target": 5, "scope": "residual"}, "decompx has no scopes.*norm_rollout"),
        ("CausalLM", "gpt2", {"method": "rollout", "target": 5}, "takes no target.*decompx"),
        ("CausalLM", "gpt2", {"method": "decomp_x"}, "no method 'decomp_x'.*mean 'decompx'"),
    ],
)  # fmt: skip
def test_what_can_not_be_asked(task: str, model_type: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        lens_on(task, model_type).attribute(IDS, **options)


@pytest.mark.parametrize("target", [[5], [5, 6, 7]])
def test_targets_are_as_many_as_texts(target: list[int]) -> None:
    with pytest.raises(InvalidInput, match="numbers of texts and targets"):
        list(lens_on("CausalLM", "gpt2").attribute([IDS, IDS], target=target))


def test_a_model_without_a_head_has_no_classes() -> None:
    lens = normlens.load((tiny.build("bert"), None))
    with pytest.raises(InvalidInput, match=r"BertModel has no head.*VectorNorm"):
        lens.attribute(IDS, target=1)
    assert lens.attribute(IDS, target=VectorNorm(), position=0).attrs["conservation_error"] < 1e-5
    assert lens.attribute(IDS).dims == ("target", "source")
    with pytest.raises(InvalidInput, match="without a target"):
        lens.attribute(IDS, position=1)
    with pytest.raises(InvalidInput, match=r"expected target=.*decompx"):
        lens.attribute(IDS, method="gradient_input")


def test_a_model_in_training_mode_is_refused() -> None:
    lens = normlens.load((tiny.build("gpt2"), None))
    lens.model.h[0].mlp.train()
    with pytest.raises(InvalidInput, match=r"training mode \(h\.0\.mlp\).*model\.eval"):
        lens.attribute(IDS)


def test_quantized_weights_are_refused() -> None:
    lens = normlens.load((tiny.build("gpt2"), None))
    lens.model.h[1].ln_1.weight = torch.nn.Parameter(torch.ones(32).to(torch.int8), requires_grad=False)
    with pytest.raises(UnsupportedArchitecture, match=r"h\.1\.ln_1\.weight holds int8.*unquantized"):
        lens.attribute(IDS)
    lens.model.config.quantization_config = {"quant_method": "gptq"}
    with pytest.raises(UnsupportedArchitecture, match="quant_method 'gptq'"):
        lens.attribute(IDS)


def test_the_table_of_methods() -> None:
    table = normlens.methods()
    assert table.columns.tolist() == ["name", "meaning", "scopes", "target", "signed", "exact", "source"]
    assert {"decompx", "logit", "gradient_input", "integrated_gradients", "rollout"} <= set(table["name"])
