"""Children of translation models: what is trained, what stays bit for bit, and what a delta gives back."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    MBartConfig,
    MBartForConditionalGeneration,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

import normlens
from normlens import transfer
from normlens.errors import InvalidInput, NormLensError, UnsupportedArchitecture
from normlens.transfer.child_model import model_hash
from normlens.transfer.low_rank import folded

VOCABULARY = 40
SIZES: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 32, "vocab_size": VOCABULARY,
    "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2,
}  # fmt: skip
T5: dict[str, Any] = {
    "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "vocab_size": VOCABULARY,
    "decoder_start_token_id": 0,
}  # fmt: skip


def untied(config: Any) -> Any:
    """With an output projection of its own; T5's config doesn't take this as an option."""
    config.tie_word_embeddings = False
    return config


BUILD: dict[str, Callable[[], PreTrainedModel]] = {
    "marian": lambda: MarianMTModel(MarianConfig(**SIZES)),
    "marian-two": lambda: MarianMTModel(
        MarianConfig(**SIZES, share_encoder_decoder_embeddings=False, decoder_vocab_size=30)
    ),
    "bart": lambda: BartForConditionalGeneration(BartConfig(**SIZES)),
    "mbart": lambda: MBartForConditionalGeneration(MBartConfig(**SIZES)),
    "m2m_100": lambda: M2M100ForConditionalGeneration(M2M100Config(**SIZES)),
    "t5": lambda: T5ForConditionalGeneration(T5Config(**T5)),
    "t5-untied": lambda: T5ForConditionalGeneration(untied(T5Config(**T5))),
    "bart-untied": lambda: BartForConditionalGeneration(untied(BartConfig(**SIZES))),
}
ONE_VOCABULARY = ("marian", "bart", "mbart", "m2m_100", "t5")


@pytest.fixture(params=BUILD)
def lens(request: pytest.FixtureRequest) -> normlens.Lens:
    torch.manual_seed(0)
    model = BUILD[request.param]().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases say nothing while they are ones and zeros
            parameter.add_(0.1 * torch.randn_like(parameter))
    return normlens.load((model, None))


def attends_across(name: str) -> bool:
    """Whether a parameter is of the cross-attention, by the names in these five families."""
    return "encoder_attn" in name or ("decoder" in name and ".layer.1." in name)


def attends_to_itself(name: str) -> bool:
    own = ("self_attn" in name and "decoder" in name) or ("decoder" in name and ".layer.0." in name)
    return own and "relative_attention_bias" not in name


def embeds(name: str) -> bool:
    return any(one in name for one in ("embed", "shared", "lm_head", "relative_attention_bias"))


def test_roles_are_those_that_names_say(lens: normlens.Lens) -> None:
    groups = transfer.parameter_groups(lens)
    assert sorted(groups.of(transfer.ROLES)) == sorted(name for name, _ in lens.model.named_parameters())
    assert sum(groups.counts.values()) == sum(parameter.numel() for parameter in lens.model.parameters())
    for name in groups.names["cross-attention"]:
        assert attends_across(name), name
    for name in groups.names["decoder self-attention"]:
        assert attends_to_itself(name), name
    for name in groups.names["rest of the body"]:
        assert not (attends_across(name) or attends_to_itself(name) or embeds(name)), name
    for role, side in (("source embeddings", "encoder"), ("target embeddings", "decoder")):
        assert all(embeds(name) and (side in name or "lm_head" in name) for name in groups.names[role])  # type: ignore[index]
    one, other = (side.get_input_embeddings().weight for side in (lens.model.get_encoder(), lens.model.get_decoder()))
    assert bool(groups.names["shared embeddings"]) == (one is other)
    assert all("shared" in name for name in (*groups.names["shared embeddings"], *groups.names["unused"]))
    assert groups.counts["cross-attention"] == groups.counts["decoder self-attention"]  # what "+selfattn" relies on


def test_norms_of_cross_attention_are_with_it(lens: normlens.Lens) -> None:
    layers = 2
    norms = [name for name in transfer.parameter_groups(lens).names["cross-attention"] if "norm" in name]
    assert len({name.rpartition(".")[0] for name in norms}) == layers
    assert all("encoder_attn_layer_norm" in name or ".layer.1.layer_norm" in name for name in norms)


def batch(model: PreTrainedModel, rows: int = 30) -> dict[str, Tensor]:
    ids = torch.randint(4, rows, (3, 7), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "labels": ids.flip(1)}


def trained(child: transfer.Child) -> None:
    """Some steps of an optimizer that decays weights, on everything that requires a gradient."""
    parameters = [parameter for parameter in child.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1)
    child.model.train()
    for _ in range(3):
        optimizer.zero_grad()
        child.model(**batch(child.model)).loss.backward()
        optimizer.step()
    child.model.eval()


@pytest.mark.parametrize("setting", transfer.SETTINGS)
def test_only_what_a_setting_names_moves(lens: normlens.Lens, setting: str) -> None:
    before = model_hash(lens.model)
    parents = {name: x.clone() for name, x in lens.model.named_parameters(remove_duplicate=False)}
    child = transfer.start_child(lens, setting, seed=3)
    started = {name: x.detach().clone() for name, x in child.model.named_parameters()}
    chosen = transfer.SETTINGS[setting]
    initialized = set(child.groups.of(chosen.initialized))
    for name, x in started.items():
        constant = "embed_positions" in name and name in child.frozen
        if ".lora_" not in name:
            assert torch.equal(x, parents[name.replace(".base_layer", "")]) == (name not in initialized or constant), (
                name
            )
    trained(child)
    moved = {name for name, x in child.model.named_parameters() if not torch.equal(x, started[name])}
    assert moved == set(child.trained)
    assert any(".lora_" in name for name in moved) == ("lora" in setting)
    child.require_frozen()
    assert model_hash(lens.model) == before
    assert {name for name, x in child.model.named_parameters() if x.requires_grad} == moved


def counts(names: Iterable[str], model: PreTrainedModel) -> int:
    sizes = dict(model.named_parameters())
    return sum(sizes[name].numel() for name in names)


def test_a_child_says_what_is_trained(lens: normlens.Lens) -> None:
    child = transfer.start_child(lens, "src+xattn")
    said = str(child)
    assert said.startswith(f"src+xattn (Gheini et al. 2021): {counts(child.trained, child.model):,} of ")
    assert f"cross-attention: {child.groups.counts['cross-attention']:,} trained" in said
    assert f"rest of the body: {child.groups.counts['rest of the body']:,} frozen" in said


@pytest.mark.parametrize(
    ("setting", "vocabulary"),
    [("src+xattn", 25), ("src", None), ("tgt+xattn", 35), ("embed+xattn", None), ("src+lora", 25)],
)
def test_a_delta_gives_the_child_back_bit_for_bit(
    lens: normlens.Lens, setting: str, vocabulary: int | None, tmp_path: Path
) -> None:
    child = transfer.start_child(lens, setting, vocabulary=vocabulary)
    tables = child.model.get_encoder(), child.model.get_decoder()
    rows = [table.get_input_embeddings().num_embeddings for table in tables]
    if vocabulary is not None:
        assert rows[setting.startswith("tgt")] == vocabulary
        table = tables[setting.startswith("tgt")].get_input_embeddings()
        assert table.padding_idx is None or not table.weight[table.padding_idx].any()
    inputs = batch(child.model, min(rows))
    parameters = [parameter for parameter in child.model.parameters() if parameter.requires_grad]
    child.model(**inputs).loss.backward()
    torch.optim.SGD(parameters, lr=0.1).step()
    saved = transfer.save_delta(child, tmp_path / "child")
    assert saved.bytes < 4 * counts(child.trained, child.model) + 20_000
    again = transfer.load_child(lens, tmp_path / "child")
    assert model_hash(again) == model_hash(child.model)
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, child.model(**inputs).logits)
        models = again, child.model
        one, other = (model.generate(inputs["input_ids"], max_new_tokens=5, do_sample=False) for model in models)
    assert torch.equal(one, other)


@pytest.fixture
def marian() -> normlens.Lens:
    torch.manual_seed(0)
    return normlens.load((BUILD["marian"]().eval(), None))


def test_a_delta_for_another_parent_is_refused(marian: normlens.Lens, tmp_path: Path) -> None:
    child = transfer.start_child(marian, "src+xattn")
    transfer.save_delta(child, tmp_path / "child")
    other = copy.deepcopy(marian.model)
    with torch.no_grad():
        other.model.encoder.layers[0].fc1.bias[0] += 1e-6
    with pytest.raises(InvalidInput, match="belongs to another parent"):
        transfer.load_child(normlens.load((other, None)), tmp_path / "child")
    with pytest.raises(InvalidInput, match="isn't an empty folder"):
        transfer.save_delta(child, tmp_path / "child")
    with pytest.raises(InvalidInput, match="holds no delta"):
        transfer.load_child(marian, tmp_path)


def test_a_damaged_delta_is_refused(marian: normlens.Lens, tmp_path: Path) -> None:
    transfer.save_delta(transfer.start_child(marian, "src+xattn"), tmp_path / "child")
    tensors = tmp_path / "child" / "delta.safetensors"
    whole = tensors.read_bytes()
    for damaged in (whole[:-1], whole[:-8] + b"\1" * 8):
        tensors.write_bytes(damaged)
        with pytest.raises(InvalidInput, match=r"can't be read|has changed since it was saved"):
            transfer.load_child(marian, tmp_path / "child")
    manifest = tmp_path / "child" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 2}))
    with pytest.raises(InvalidInput, match="format 2, expected 1"):
        transfer.read_delta(tmp_path / "child")


def test_training_what_is_frozen_is_found_out(marian: normlens.Lens, tmp_path: Path) -> None:
    child = transfer.start_child(marian, "src")
    with torch.no_grad():
        child.model.model.decoder.layers[1].fc1.weight[0, 0] += 1e-7
    with pytest.raises(transfer.FrozenChanged, match=r"model\.decoder\.layers\.1\.fc1\.weight should be frozen"):
        transfer.save_delta(child, tmp_path / "child")
    assert not (tmp_path / "child").exists()


def test_the_same_seed_begins_the_same_child(marian: normlens.Lens) -> None:
    one, same, other = (
        model_hash(transfer.start_child(marian, "src+randxattn", vocabulary=25, seed=seed).model) for seed in (1, 1, 2)
    )
    assert one == same != other


def test_a_marian_child_with_two_vocabularies_is_a_checkpoint_of_transformers(
    marian: normlens.Lens, tmp_path: Path
) -> None:
    child = transfer.start_child(marian, "src+xattn", vocabulary=25)
    child.model.save_pretrained(tmp_path)
    again = MarianMTModel.from_pretrained(tmp_path)
    assert model_hash(again) == model_hash(child.model)
    assert again.get_encoder().get_input_embeddings().num_embeddings == 25


def test_bad_input_is_refused(marian: normlens.Lens, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no setting 'src\+xatn'.*Did you mean"):
        transfer.start_child(marian, "src+xatn")
    for setting, vocabulary in (("whole", 20), ("src", 0)):
        with pytest.raises(InvalidInput, match="expected a positive number, with a setting that has a new language"):
            transfer.start_child(marian, setting, vocabulary=vocabulary)
    with pytest.raises(UnsupportedArchitecture, match="is no encoder–decoder for text"):
        transfer.start_child(normlens.load((tiny.build("bert").eval(), None)), "src")
    shutil.rmtree(tmp_path)
    (tmp_path).write_text("a file")
    with pytest.raises(NormLensError):
        transfer.save_delta(transfer.start_child(marian, "src"), tmp_path / "child")


def test_low_rank_updates_are_folded_into_the_weights(lens: normlens.Lens) -> None:
    child = transfer.start_child(lens, "src+lora", vocabulary=35)
    trained(child)
    plain = folded(child.model)
    assert not any("lora" in name or "base_layer" in name for name, _ in plain.named_parameters())
    assert any("lora" in name for name, _ in child.model.named_parameters())
    inputs = batch(child.model)
    with torch.no_grad():
        one, other = (model(**inputs).logits for model in (plain, child.model))
        began = folded(transfer.start_child(lens, "src+lora", vocabulary=35).model)(**inputs).logits
    assert torch.allclose(one, other, atol=1e-5) and not torch.allclose(one, began, atol=1e-3)


def test_updates_of_low_rank_need_peft(marian: normlens.Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(
        InvalidInput, match=r"made by peft, which isn't installed\. Run `pip install \"normlens\[adapters\]\""
    ):
        transfer.start_child(marian, "src+lora")
