"""Files that ask for more than they hold: refused before anything of that size is built."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from little import little
from tiny_gguf import tensors, write
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    SwinConfig,
    SwinForImageClassification,
)

from normlens.errors import InvalidInput, NormLensError
from normlens.loading.load import load_model
from normlens.loading.sizes import CheckpointSize, bounded, check_settings, size_of_files, size_of_gguf

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
WINDOWS = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
MODELS = {
    "bert": lambda: BertForSequenceClassification(BertConfig(**SMALL)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=32, n_embd=16, n_layer=2, n_head=2)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "mixtral": lambda: MixtralForCausalLM(MixtralConfig(num_local_experts=2, num_key_value_heads=2, **SMALL)),
    "swin": lambda: SwinForImageClassification(SwinConfig(**WINDOWS)),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp(name) for name in MODELS}
    for name, folder in made.items():
        MODELS[name]().save_pretrained(folder)
    return made


def changed(folder: Path, target: Path, text: str | None = None, **settings: Any) -> Path:
    """A copy of a model's folder with another configuration."""
    (target / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | settings) if text is None else text)
    return target


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bert", {"num_hidden_layers": 10**6}),
        ("bert", {"num_hidden_layers": 9_999}),
        ("bert", {"num_hidden_layers": 1e9}),
        ("bert", {"num_labels": 10**9}),
        ("bert", {"vocab_size": 10**12}),
        ("bert", {"hidden_size": 10**9}),
        ("bert", {"max_position_embeddings": 10**12}),
        ("gpt2", {"n_layer": 10**9}),
        ("gpt2", {"n_positions": 10**6}),
        ("gpt2", {"n_embd": 10**8}),
        ("llama", {"intermediate_size": 10**11}),
        ("llama", {"num_key_value_heads": 10**9}),
        ("llama", {"head_dim": 10**12}),
        ("mixtral", {"num_local_experts": 10**9}),
        ("swin", {"depths": [10**6, 2]}),
        ("swin", {"window_size": 10**6}),
    ],
)
def test_a_configuration_that_asks_for_more_than_the_file_holds(
    folders: dict[str, Path], tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    changed(folders[name], tmp_path, **settings)
    with (
        little(),
        pytest.raises(
            InvalidInput,
            match=r"more than (its weights|any model)|but its files hold \d+ tensors|but its config requires|no such weight",
        ),
    ):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"model_type": "bert", "num_labels": ' + "9" * 10_000 + "}",
        "[]",
        "",
        "\0",
        "\udcff",
    ],
)
def test_a_configuration_that_is_none(folders: dict[str, Path], tmp_path: Path, text: str) -> None:
    changed(folders["bert"], tmp_path, text="{}")
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with little(), pytest.raises(InvalidInput, match=r"config\.json .*(can't be read|expected a JSON object)"):
        load_model(tmp_path)


def test_a_configuration_too_large_to_be_one(folders: dict[str, Path], tmp_path: Path) -> None:
    changed(folders["bert"], tmp_path)
    with (tmp_path / "config.json").open("r+b") as file:
        file.truncate(10**10)  # a hole
    with little(), pytest.raises(InvalidInput, match="more than any configuration"):
        load_model(tmp_path)


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_weights_that_are_cut_off(folders: dict[str, Path], tmp_path: Path, size: int) -> None:
    changed(folders["bert"], tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    for broken in (weights[:size], (10**18).to_bytes(8, "little") + weights[8:]):
        (tmp_path / "model.safetensors").write_bytes(broken)
        with little(), pytest.raises(InvalidInput, match="download is complete"):
            load_model(tmp_path)


def test_an_index_of_several_files(folders: dict[str, Path], tmp_path: Path) -> None:
    model = MODELS["llama"]()
    model.save_pretrained(tmp_path, max_shard_size="5KB")
    index = tmp_path / "model.safetensors.index.json"
    count = sum(x.numel() for x in model.state_dict().values())
    assert size_of_files(sorted(tmp_path.glob("*.safetensors"))) == CheckpointSize(len(model.state_dict()), count, 50)
    load_model(tmp_path)
    index.write_text("{}")
    with pytest.raises(InvalidInput, match="no weight_map"):
        load_model(tmp_path)
    assert size_of_files([]) is None


def test_large_settings_that_need_no_room_are_read(folders: dict[str, Path], tmp_path: Path) -> None:
    changed(folders["llama"], tmp_path, max_position_embeddings=10**7, rope_theta=1e9, eos_token_id=10**6)
    load_model(tmp_path)
    check_settings("many labels", {"num_labels": 200_000}, CheckpointSize(10, 10**8, 200_000))
    check_settings("small", {"num_labels": 10_000, "text_config": {"num_hidden_layers": 80}}, None)
    with pytest.raises(InvalidInput, match="num_hidden_layers = 300001"):
        check_settings("nested", {"text_config": {"num_hidden_layers": 300_001}}, None)


def test_counting_ends_with_the_building() -> None:
    with (
        bounded("tiny", CheckpointSize(1, 10, 10)),
        pytest.raises(InvalidInput, match=r"a weight of shape \(1000000, 100\)"),
    ):
        torch.nn.Linear(100, 10**6, device="meta")
    with bounded("tiny", CheckpointSize(1, 10, 10)), pytest.raises(InvalidInput, match="more than 5,020 modules"):
        torch.nn.ModuleList(torch.nn.Identity() for _ in range(10**9))
    torch.nn.Linear(100, 10**6, device="meta")
    torch.nn.ModuleList(torch.nn.Identity() for _ in range(5_100))


# GGUF files


def test_a_gguf_file_holds_what_its_header_lists(tmp_path: Path) -> None:
    weights = tensors()
    file = write(tmp_path / "tiny.gguf", weights)
    assert size_of_gguf("tiny", file) == CheckpointSize(20, sum(x.size for x in weights.values()), 32)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"block_count": 10**6}, r"block_count = 1000000, more than its weights"),
        ({"block_count": 1}, r"holds blk\.1, but its header says 1 layers"),
        ({"embedding_length": 2**31}, r"shape \(24, 2147483648\)"),
        ({"feed_forward_length": 2**31}, r"shape \(2147483648, 16\)"),
        ({"feed_forward_length": 33}, r"shape \(16, 32\), but its config requires"),
        ({"head_count": 2**31}, "head_count|could not be loaded"),
        ({"head_count_kv": 2**31}, "head_count|but its files hold"),
        ({"vocabulary": 2**32 - 1}, r"shape \(4294967295, 16\)"),
    ],
)
def test_a_gguf_header_that_asks_for_more_than_the_file_holds(
    tmp_path: Path, settings: dict[str, int], reason: str
) -> None:
    file = write(tmp_path / "tiny.gguf", tensors(), **settings)
    with little(), pytest.raises(InvalidInput, match=reason):
        load_model(file)


def test_a_gguf_file_that_lacks_a_tensor(tmp_path: Path) -> None:
    weights = {name: x for name, x in tensors().items() if name != "blk.1.ffn_up.weight"}
    with pytest.raises(
        InvalidInput, match=r"lacks 1 of its weights, the first is model\.layers\.1\.mlp\.up_proj\.weight"
    ):
        load_model(write(tmp_path / "tiny.gguf", weights))


def test_gguf_files_with_impossible_counts(tmp_path: Path) -> None:
    whole = write(tmp_path / "tiny.gguf", tensors()).read_bytes()
    tokens = b"tokenizer.ggml.tokens" + struct.pack("<IIQ", 9, 8, 24)
    assert tokens in whole
    broken = [
        whole[:8] + struct.pack("<Q", 2**60) + whole[16:],
        whole[:16] + struct.pack("<Q", 2**60) + whole[24:],
        whole.replace(tokens, tokens[:-8] + struct.pack("<Q", 10**9)),
        whole.replace(tokens, tokens[:-12] + struct.pack("<IQ", 0, 10**9)),
        whole.replace(tokens, tokens[:-12] + struct.pack("<IQ", 9, 10**9)),
        *(whole[:size] for size in (3, 20, 30, 500, -100)),
    ]
    for content in broken:
        (tmp_path / "tiny.gguf").write_bytes(content)
        with little(), pytest.raises(NormLensError, match=r"tiny\.gguf"):
            load_model(tmp_path / "tiny.gguf")
