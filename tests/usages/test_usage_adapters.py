"""Usages: models with adapters of the peft library are measured as the models they would be merged, or say to merge them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

import normlens
from normlens.errors import InvalidInput, ModelNotFound, UnsupportedArchitecture

peft = pytest.importorskip("peft")

IDS = [5, 9, 3, 7]
SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
INSIDE, OUTPUT = ["q_proj", "v_proj", "up_proj"], ["o_proj", "down_proj"]
KINDS = {
    "lora": lambda modules: peft.LoraConfig(r=2, target_modules=modules),
    "dora": lambda modules: peft.LoraConfig(r=2, target_modules=modules, use_dora=True),
    "ia3": lambda modules: peft.IA3Config(target_modules=modules, feedforward_modules=[]),
    "loha": lambda modules: peft.LoHaConfig(r=2, target_modules=modules),
    "oft": lambda modules: peft.OFTConfig(r=0, oft_block_size=8, target_modules=modules),
    "embedding": lambda modules: peft.LoraConfig(r=2, target_modules=[*modules, "embed_tokens", "lm_head"]),
}


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=2, **SMALL)).double().eval()


def trained(model: Any) -> Any:
    """The model with adapters that do something: they begin as the identity."""
    torch.manual_seed(1)
    for name, x in model.named_parameters():
        if any(kind in name for kind in ("lora_", "ia3_", "hada_", "oft_")):
            x.data = torch.randn_like(x) * 0.2
    return model.double().eval()


def numbers(lens: normlens.Lens) -> tuple[Any, Any]:
    """Norms of an analysis, and shares of a logit."""
    return lens.analyze(IDS)["decoder"].norm.values, lens.attribute(IDS, target=7).values


def check_same(lens: normlens.Lens, expected: normlens.Lens) -> None:
    for number, right in zip(numbers(lens), numbers(expected), strict=True):
        assert number == pytest.approx(right, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unmerged_adapter_gives_the_numbers_of_the_merged_weights(kind: str) -> None:
    model = trained(peft.get_peft_model(llama(), KINDS[kind](INSIDE)))
    merged = normlens.load((copy.deepcopy(model).merge_and_unload(), None))
    assert abs(numbers(merged)[0] - numbers(normlens.load((llama(), None)))[0]).max() > 1e-3
    lens = normlens.load((model, None))
    assert type(lens.model) is LlamaForCausalLM
    check_same(lens, merged)
    model.merge_adapter()
    check_same(normlens.load((model, None)), merged)
    check_same(lens, merged)


def test_an_adapter_that_is_switched_off_is_not_read() -> None:
    model = trained(peft.get_peft_model(llama(), KINDS["lora"](INSIDE)))
    lens = normlens.load((model, None))
    with_adapter = numbers(lens)[1]
    with model.disable_adapter():
        check_same(lens, normlens.load((llama(), None)))
    assert numbers(lens)[1] == pytest.approx(with_adapter)


def test_an_adapter_on_the_output_projection_says_to_merge_it() -> None:
    model = trained(peft.get_peft_model(llama(), KINDS["lora"](OUTPUT)))
    lens = normlens.load((model, None))
    with pytest.raises(UnsupportedArchitecture, match=r"unmerged adapters\? Call merge_adapter"):
        lens.analyze(IDS)
    merged = normlens.load((copy.deepcopy(model).merge_and_unload(), None))
    assert lens.attribute(IDS, target=7).values == pytest.approx(merged.attribute(IDS, target=7).values, rel=1e-9)
    model.merge_adapter()
    check_same(lens, merged)


def test_adapters_that_transformers_itself_put_on() -> None:
    model = llama()
    model.add_adapter(KINDS["lora"](INSIDE))
    lens = normlens.load((trained(model), None))
    merged = copy.deepcopy(model)
    for module in merged.modules():
        if hasattr(module, "merge") and hasattr(module, "lora_A"):
            module.merge()
    check_same(lens, normlens.load((merged, None)))
    model.disable_adapters()
    check_same(lens, normlens.load((llama(), None)))


def test_virtual_tokens_are_refused() -> None:
    for config in (peft.PromptTuningConfig, peft.PrefixTuningConfig):
        model = peft.get_peft_model(llama(), config(task_type="CAUSAL_LM", num_virtual_tokens=3))
        with pytest.raises(UnsupportedArchitecture, match=r"adds virtual tokens.*get_base_model"):
            normlens.load((model, None))


# A folder that holds an adapter alone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An adapter, beside the model that its configuration names."""
    llama().save_pretrained(tmp_path / "base")
    base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    model = trained(peft.get_peft_model(base, KINDS["lora"](INSIDE)))
    model.save_pretrained(tmp_path / "adapter")
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    return tmp_path / "adapter"


def change(folder: Path, **settings: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def test_an_adapter_folder_is_put_on_its_model(folder: Path) -> None:
    lens = normlens.load(folder)
    assert lens.name == str(folder)
    check_same(lens, normlens.load(folder.parent / "merged"))


def test_a_classifier_that_comes_with_the_adapter_is_no_random_one(tmp_path: Path) -> None:
    BertForMaskedLM(BertConfig(**SMALL)).save_pretrained(tmp_path / "base")
    base = BertForSequenceClassification.from_pretrained(tmp_path / "base")
    config = peft.LoraConfig(
        r=2, target_modules=["query"], task_type="SEQ_CLS", modules_to_save=["pooler", "classifier"]
    )
    model = trained(peft.get_peft_model(base, config))
    model.save_pretrained(tmp_path / "adapter")
    expected = normlens.load((model, None)).attribute(IDS, target=1)
    lens = normlens.load(tmp_path / "adapter", dtype="float64")
    assert lens.attribute(IDS, target=1).values == pytest.approx(expected.values, rel=1e-5)
    with pytest.raises(InvalidInput, match="random numbers"):
        normlens.load(tmp_path / "base", task="sequence-classification").attribute(IDS, target=1)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"base_model_name_or_path": None}, "doesn't name the model"),
        ({"base_model_name_or_path": "./nowhere"}, r"no file or folder \./nowhere"),
        ({"r": 3}, "could not be loaded|doesn't fit"),
        ({"target_modules": ["q_proj"]}, "holds .*doesn't fit"),
        ({"target_modules": [*INSIDE, "k_proj"]}, "lacks .*doesn't fit"),
    ],
)
def test_an_adapter_that_does_not_fit(folder: Path, settings: dict[str, object], reason: str) -> None:
    change(folder, **settings)
    with pytest.raises((InvalidInput, ModelNotFound), match=reason):
        normlens.load(folder)


def test_an_adapter_folder_without_what_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda package: None)
        with pytest.raises(InvalidInput, match=r"needs peft.*normlens\[adapters\].*merge_and_unload"):
            normlens.load(folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelNotFound, match=r"no adapter_model\.safetensors.*pickle.*merge_and_unload"):
        normlens.load(folder)
    change(folder, base_model_name_or_path=str(folder))
    (folder / "adapter_model.bin").rename(folder / "adapter_model.safetensors")
    with pytest.raises(InvalidInput, match="is its own base"):
        normlens.load(folder)
    (folder / "adapter_config.json").write_text("[" * 100_000)
    with pytest.raises(InvalidInput, match=r"adapter_config\.json can't be read"):
        normlens.load(folder)
