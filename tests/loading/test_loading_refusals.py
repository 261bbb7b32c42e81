"""Checkpoints and names that are refused at the door, by what is wrong with them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_checkpoints import SMALL, bert, tokenizer_of
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaModel,
)

import normlens
from normlens.errors import InvalidInput, ModelNotFound, UnsupportedArchitecture
from normlens.loading.load import load_model

# What is refused at the door


def test_pickle_only_folder_is_refused_unopened(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(ModelNotFound, match=r"pytorch_model\.bin.*pickle.*save_pretrained"):
        load_model(folder)
    with pytest.raises(ModelNotFound, match="not a GGUF file"):
        load_model(folder / "pytorch_model.bin")
    (folder / "unrelated.safetensors").touch()
    with pytest.raises(InvalidInput, match=r"no file named model\.safetensors"):
        load_model(folder)


def test_unreachable_hub_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFound, match=r"nobody/nothing \(revision v2\).*cache.*no network.*hf download"):
        load_model("nobody/nothing", revision="v2")


def test_code_from_the_repository_is_run_only_when_the_caller_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "novelty.NoveltyConfig", "AutoModelForMaskedLM": "novelty.Novelty"}
    config |= {"model_type": "novelty", "architectures": ["Novelty"], "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "novelty.py").write_text(
        "from transformers import BertConfig, BertForMaskedLM\n\n"
        "class NoveltyConfig(BertConfig):\n    model_type = 'novelty'\n\n"
        "class Novelty(BertForMaskedLM):\n    config_class = NoveltyConfig\n"
    )
    with pytest.raises(ModelNotFound, match="trust_remote_code=True"):
        load_model(folder)
    assert not (tmp_path / "modules").exists()
    assert type(load_model(folder, trust_remote_code=True).model).__name__ == "Novelty"


def test_truncated_weights(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(InvalidInput, match="download is complete"):
        load_model(folder)


def test_unknown_model_type(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "novelty"}))
    with pytest.raises(InvalidInput, match="novelty"):
        load_model(folder)


def test_checkpoint_that_lacks_a_layer(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(InvalidInput, match=r"lacks 16 of its weights, the first is bert\.encoder\.layer\.2\."):
        load_model(folder)


def rewrite(folder: Path, change: dict[str, Tensor | None], **settings: object) -> None:
    """Change weights (None takes one out) and settings of a saved model."""
    weights = load_file(folder / "model.safetensors") | change
    save_file({name: x for name, x in weights.items() if x is not None}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


@pytest.mark.parametrize("task", [None, "base"])
def test_checkpoint_with_more_layers_than_its_config_says(folder: Path, task: str | None) -> None:
    rewrite(folder, {}, num_hidden_layers=1)
    with pytest.raises(InvalidInput, match=r"holds bert\.encoder\.layer\.1\.\S+, but .* its config has fewer layers"):
        load_model(folder, task=task)


def test_checkpoint_with_biases_that_its_config_leaves_out(tmp_path: Path) -> None:
    config = LlamaConfig(vocab_size=50, num_key_value_heads=2, attention_bias=True, **SMALL)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    rewrite(tmp_path, {}, attention_bias=False)
    with pytest.raises(
        InvalidInput, match=r"layers\.0\.self_attn\.k_proj\.bias, but a model of its config has no such weight"
    ):
        load_model(tmp_path)


def test_checkpoint_of_another_shape(folder: Path) -> None:
    rewrite(folder, {}, intermediate_size=33)
    with pytest.raises(InvalidInput, match=r"bias with shape \(32,\), but its config requires shape \(33,\)"):
        load_model(folder)


def test_what_is_left_over_outside_the_layers_is_no_fault(folder: Path) -> None:
    other = {"cls.seq_relationship.weight": torch.zeros(2, 16), "vision.encoder.layer.7.weight": torch.zeros(1)}
    rewrite(folder, other | {"bert.embeddings.position_ids": torch.arange(32)[None]})
    load_model(folder)


def test_layers_that_predict_further_tokens_are_no_layers_of_the_model(tmp_path: Path) -> None:
    LlamaForCausalLM(LlamaConfig(vocab_size=50, num_key_value_heads=2, **SMALL)).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    next_layer = {n.replace("s.1.", "s.2."): x.clone() for n, x in weights.items() if "layers.1." in n}
    rewrite(tmp_path, next_layer, num_nextn_predict_layers=1)
    load_model(tmp_path)
    rewrite(tmp_path, {}, num_nextn_predict_layers=0)
    with pytest.raises(InvalidInput, match="fewer layers"):
        load_model(tmp_path)


def test_a_head_that_is_tied_to_the_embeddings_is_not_missing(tmp_path: Path) -> None:
    config = LlamaConfig(vocab_size=50, num_key_value_heads=2, tie_word_embeddings=True, **SMALL)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    lens = normlens.load(tmp_path)
    assert float(lens.attribute([5, 6, 7], target=3).attrs["value"]) != 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(value: float) -> None:
    model = bert()
    model.bert.encoder.layer[1].attention.self.value.weight.data[0, :2] = value
    with pytest.raises(InvalidInput, match=r"layer\.1\.attention\.self\.value\.weight hold 2 values"):
        load_model((model, None))


def test_model_without_attention() -> None:
    model = MambaModel(MambaConfig(vocab_size=50, hidden_size=16, state_size=4, num_hidden_layers=2))
    with pytest.raises(UnsupportedArchitecture, match=r"MambaModel.*no attention"):
        load_model((model, None))


def test_tokenizer_that_does_not_fit(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"ids up to 50, .*embeds only 50"):
        load_model((bert(), tokenizer_of(51)))
    tokenizer_of(60).save_pretrained(folder)
    with pytest.raises(InvalidInput, match="ids up to 59"):
        load_model(folder)


def test_separator_beyond_the_embedding_does_not_fit_but_a_mask_may() -> None:
    tokenizer = tokenizer_of(50)
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    assert load_model((bert(), tokenizer)).tokenizer is tokenizer
    tokenizer.add_special_tokens({"sep_token": "[SEP]"})
    with pytest.raises(InvalidInput, match="ids up to 51"):
        load_model((bert(), tokenizer))


@pytest.mark.parametrize(
    ("option", "seen"), [({"task": "poetry"}, "poetry"), ({"dtype": "int8"}, "int8"), ({"device": "abacus"}, "abacus")]
)
def test_unknown_option(folder: Path, option: dict[str, str], seen: str) -> None:
    with pytest.raises(InvalidInput, match=seen):
        load_model(folder, **option)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["abacus", "meta", "cuda:99"])
def test_a_device_that_holds_nothing_is_refused_in_sentences(folder: Path, device: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^Device {device} can't be used: .*[^.!]\. Use 'cpu'\.$"):
        load_model(folder, device=device)
