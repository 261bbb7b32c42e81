"""Models that somebody sent: whatever their files say, they load or are refused in one message, and run no code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from little import little
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel, PreTrainedTokenizerFast, ViTConfig, ViTModel
from typer.testing import CliRunner

import normlens
from normlens.cli import app
from normlens.errors import InvalidInput

TEXT = "the cat sat here."
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DEEP = "[" * 100_000
TOKENIZER, SETTINGS, CONFIG = "tokenizer.json", "tokenizer_config.json", "config.json"


@pytest.fixture(scope="module")
def honest(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    BertForMaskedLM(BertConfig(vocab_size=99, **SMALL)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def received(honest: Path, tmp_path: Path) -> Path:
    """A folder with a model, and with a module that leaves a trace if it is imported."""
    folder = Path(shutil.copytree(honest, tmp_path / "received"))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    return folder


def refused(folder: Path, *arguments: str) -> str:
    """The message with which the command refuses a model."""
    with little():
        result = CliRunner().invoke(app, ["analyze", str(folder), *(arguments or [TEXT])])
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder.parent / "ran").exists()
    return " ".join(result.stderr.split())


def change(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


@pytest.mark.parametrize("name", [TOKENIZER, SETTINGS, CONFIG, "added_tokens.json", "special_tokens_map.json"])
@pytest.mark.parametrize(
    "content", [DEEP, '{"a":' * 100_000, '{"a": [', "no JSON", "", "[]", "3", "\0" * 9, "\udcff{}"]
)
def test_a_file_that_is_no_json_object_is_named(received: Path, name: str, content: str) -> None:
    (received / name).write_bytes(content.encode(errors="surrogateescape"))
    assert f"{name} can't be read (" in (message := refused(received)) or "expected a JSON object" in message


@pytest.mark.parametrize("name", [TOKENIZER, SETTINGS])
def test_a_file_of_any_length_is_not_read(received: Path, name: str) -> None:
    with (received / name).open("r+b") as file:
        file.truncate(10**10)  # a hole
    assert f"{name} has 10,000,000,000 bytes, more than any" in refused(received)


def added(number: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized", "special"], False)
    return {"id": number, "content": content, **flags}


def words(**more: object) -> dict[str, Any]:
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat"])}
    return {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "vocab": vocabulary | more,
        "continuing_subword_prefix": "##",
    } | {"max_input_chars_per_word": 100}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"added_tokens": [added(n, f"<{n}>") for n in range(100_001)]}, "adds 100,001 tokens, more than any tokenizer"),
        ({"added_tokens": [added(-1, "<x>")]}, "The tokenizer of .* could not be loaded .*expected u32"),
        ({"added_tokens": [added(2**40, "<x>")]}, "could not be loaded .*expected u32"),
        ({"added_tokens": {"<x>": 5}}, "The tokenizer of .* could not be loaded"),
        ({"added_tokens": None}, "The tokenizer of .* could not be loaded"),
        ({"model": words(cow=99)}, r"has ids up to 99, but the model embeds only 99 \(0 to 98\)"),
        ({"model": words(cow=2**32 - 1)}, "has ids up to 4294967295, but the model embeds only 99"),
        ({"model": words(cow=2**64)}, "could not be loaded"),
        ({"model": words(cow=-1)}, "could not be loaded"),
        ({"model": words(cow="x")}, "could not be loaded"),
        ({"model": {"type": "Novelty"}}, "The tokenizer of .* could not be loaded"),
        ({"model": None}, "The tokenizer of .* could not be loaded"),
        ({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(" * 10_000}}}, "could not be loaded"),
        (
            {"post_processor": {"type": "TemplateProcessing", "pair": [], "special_tokens": {}}
            | {"single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}]}},
            r"puts '\[CLS\]' around each text without defining it",
        ),
    ],
)  # fmt: skip
def test_a_tokenizer_that_contradicts_itself_or_the_model(
    received: Path, settings: dict[str, Any], reason: str
) -> None:
    change(received / TOKENIZER, **settings)
    with pytest.raises(InvalidInput, match=reason):
        normlens.load(received)
    refused(received)


@pytest.mark.parametrize("token", ["a\0b", "", "\x1b[31m"])
def test_a_token_of_any_characters_is_read_and_shown_harmlessly(received: Path, token: str) -> None:
    whole = json.loads((received / TOKENIZER).read_text())
    change(received / TOKENIZER, added_tokens=[*whole["added_tokens"], added(98, token)])
    result = CliRunner().invoke(app, ["analyze", str(received), f"the {token} cat"])
    assert result.exit_code == 0
    assert not {"\0", "\x1b"} & set(result.output)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"tokenizer_class": "BertModel"}, "tokenizer_class = BertModel, which is neither a tokenizer nor a processor"),
        ({"tokenizer_class": "AutoModel"}, "tokenizer_class = AutoModel, which is neither"),
        ({"tokenizer_class": "AutoTokenizer"}, "tokenizer_class = AutoTokenizer, which is neither"),
        ({"tokenizer_class": 3}, "tokenizer_class = 3, which is neither"),
        ({"tokenizer_class": "T5Tokenizer"}, "The tokenizer of .* could not be loaded"),
        ({"auto_map": 3}, "The tokenizer of .* could not be loaded"),
        ({"model_max_length": "x"}, "model_max_length = 'x'; expected a number"),
        ({"cls_token": 3}, "The tokenizer of .* could not be loaded .*cls_token"),
        ({"padding_side": "middle"}, "The tokenizer of .* could not be loaded .*middle"),
        ({"added_tokens_decoder": {"x": {"content": "y"}}}, "The tokenizer of .* could not be loaded"),
    ],
)
def test_settings_of_a_tokenizer_that_mean_nothing(received: Path, settings: dict[str, Any], reason: str) -> None:
    change(received / SETTINGS, **settings)
    with pytest.raises(InvalidInput, match=reason):
        normlens.load(received)
    refused(received)


@pytest.mark.parametrize("reference", ["evil.Evil", ["evil.Evil", None], [None, "other/repository--evil.Evil"]])
def test_code_that_a_tokenizer_asks_for_is_not_run(received: Path, reference: object) -> None:
    change(received / SETTINGS, auto_map={"AutoTokenizer": reference}, tokenizer_class="Evil")
    normlens.load(received).analyze(TEXT)  # transformers' own class reads it
    change(received / CONFIG, model_type="evil", auto_map={"AutoConfig": "evil.Evil", "AutoTokenizer": reference})
    assert "can only be loaded by running Python code from its own repository" in refused(received)


def test_code_from_the_hub_that_a_config_asks_for_is_not_run(received: Path) -> None:
    for settings in (
        {"_attn_implementation": "owner/kernel"},
        {"text_config": {"experts_implementation": "owner/kernel"}},
    ):
        config = json.loads((received / CONFIG).read_text())
        change(received / CONFIG, **settings)
        assert "_implementation from owner/kernel, whose code would run" in refused(received)
        (received / CONFIG).write_text(json.dumps(config))
    refused(received, "[CLS]")


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_size": "x"}, {"hidden_size": float("nan")}, {"hidden_size": 0}, {"hidden_size": -16},
        {"num_attention_heads": 0}, {"num_attention_heads": -2}, {"num_attention_heads": 3}, {"num_attention_heads": None},
        {"num_hidden_layers": 0}, {"num_hidden_layers": -1}, {"num_hidden_layers": 2.5}, {"num_hidden_layers": "2"},
        {"num_hidden_layers": [2]}, {"num_hidden_layers": True}, {"num_hidden_layers": float("inf")},
        {"layer_norm_eps": float("nan")}, {"layer_norm_eps": -1.0}, {"layer_norm_eps": "x"},
        {"hidden_act": "novelty"}, {"hidden_act": 3}, {"vocab_size": "99"}, {"vocab_size": -1}, {"vocab_size": 0},
        {"pad_token_id": 1000}, {"pad_token_id": "x"}, {"max_position_embeddings": 0}, {"hidden_dropout_prob": 5},
        {"dtype": "float9"}, {"dtype": 3}, {"dtype": "load"}, {"dtype": "int8"}, {"id2label": 3}, {"id2label": {"x": "a"}},
        {"num_labels": "x"}, {"architectures": 3}, {"architectures": [3]}, {"architectures": ["GPT2LMHeadModel"]},
        {"architectures": ["PreTrainedModel"]}, {"model_type": 3}, {"model_type": None}, {"model_type": ["bert"]},
        {"model_type": "be\0rt"}, {"quantization_config": 3},
        {"chunk_size_feed_forward": "x"}, {"auto_map": {"AutoConfig": 3}}, {"attn_implementation": 3},
        {"to_dict": 3}, {"__class__": "x"}, {"get_text_config": 2}, {"tokenizer_class": "AutoModel"},
    ],
    ids=str,
)  # fmt: skip
def test_a_config_with_wrong_values_is_refused(received: Path, settings: dict[str, Any]) -> None:
    change(received / CONFIG, **settings)
    assert str(received) in (message := refused(received)) or "Bert" in message


def test_a_config_that_names_the_base_of_all_models_changes_none_of_them(received: Path) -> None:
    change(received / CONFIG, architectures=["PreTrainedModel"])
    assert "names the class PreTrainedModel, the base of all models" in refused(received)
    assert "_can_set_experts_implementation_cached_value" not in vars(PreTrainedModel)
    assert normlens.load(received, task="masked-lm").analyze(TEXT).conservation_error < 1e-5


@pytest.mark.parametrize("key", ["processor_class", "image_processor_type", "feature_extractor_type"])
@pytest.mark.parametrize("name", ["ViTModel", "AutoModel"])
def test_a_processor_that_is_a_model_is_not_built(tmp_path: Path, key: str, name: str) -> None:
    ViTModel(ViTConfig(image_size=8, patch_size=4, **SMALL)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({key: name}))
    with pytest.raises(InvalidInput, match=rf"{key} = {name}, which is neither a tokenizer nor a processor"):
        normlens.load(tmp_path)
