"""Repositories on the Hub: what is read of them, in which order, and that their size is bounded before a model is built."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from little import little
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput, ModelNotFound
from normlens.loading import checkpoint_files
from normlens.loading.load import load_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 99}
Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Put a folder into the local cache as a repository with one commit, as `hf download` would."""
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def into_cache(folder: Path, name: str) -> Path:
        repository = cache / f"models--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(COMMIT)
        return Path(shutil.copytree(folder, repository / "snapshots" / COMMIT))

    return into_cache


@pytest.fixture
def bert(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A folder with a tiny BERT and its tokenizer."""
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(**SMALL)).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def change(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def test_a_repository_loads_as_its_folder_does(publish: Publish, bert: Path) -> None:
    publish(bert, "owner/bert")
    lens, local = normlens.load("owner/bert"), normlens.load(bert)
    assert (lens.name, lens.revision, local.revision) == ("owner/bert", COMMIT, None)
    text = "the cat sat here."
    assert lens.analyze(text)["encoder"].data.identical(local.analyze(text)["encoder"].data)


def test_a_repository_in_several_files(publish: Publish, bert: Path) -> None:
    model = BertForMaskedLM.from_pretrained(bert)
    (bert / "model.safetensors").unlink()
    model.save_pretrained(bert, max_shard_size="5KB")
    snapshot = publish(bert, "owner/bert")
    load_model("owner/bert")
    change(snapshot / "config.json", num_hidden_layers=100_000)
    with (
        little(),
        pytest.raises(InvalidInput, match=r"num_hidden_layers = 100000, more than its weights allow \(\d+ t"),
    ):
        load_model("owner/bert")
    change(snapshot / "config.json", num_hidden_layers=2)
    min(snapshot.glob("model-*")).unlink()
    with pytest.raises(
        InvalidInput, match=r"owner/bert lacks model-00001-of-\d+\.safetensors, which model\.safetensors\.i"
    ):
        load_model("owner/bert")


def test_a_repository_without_a_tokenizer(publish: Publish, bert: Path) -> None:
    for file in bert.glob("tokenizer*"):
        file.unlink()
    publish(bert, "owner/bert")
    assert load_model("owner/bert").tokenizer is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_hidden_layers": 10**6}, "num_hidden_layers = 1000000, more than any model has"),
        ({"num_labels": 10**9}, "num_labels = 1000000000, more than any model has"),
        ({"num_hidden_layers": 100_000}, "num_hidden_layers = 100000, more than its weights allow"),
        ({"num_hidden_layers": 9_999}, r"a model with .*, but its files hold \d+ tensors"),
        ({"vocab_size": 10**12}, r"a model with a weight of shape \(1000000000000, 16\)"),
        ({"transformers_weights": "pytorch_model.bin"}, "'pytorch_model.bin'; only .*safetensors.* never a pickle"),
        ({"transformers_weights": "adapter_model.bin"}, "'adapter_model.bin'; only .*safetensors.* never a pickle"),
        (
            {"transformers_weights": "../other/model.safetensors"},
            "'../other/model.safetensors'; only .* in the same folder",
        ),
        ({"transformers_weights": 3}, "weights are in '3'; only"),
    ],
)
@pytest.mark.parametrize("where", ["hub", "folder"])
def test_a_configuration_that_asks_for_more_than_the_files_hold(
    publish: Publish, bert: Path, settings: dict[str, Any], reason: str, where: str
) -> None:
    change(bert / "config.json", **settings)
    (bert / "adapter_model.bin").write_bytes(b"\x80\x04.")
    publish(bert, "owner/bert")
    with little(), pytest.raises((InvalidInput, ModelNotFound), match=reason):
        load_model("owner/bert" if where == "hub" else bert)


def test_weights_under_another_name_are_bounded_too(bert: Path) -> None:
    (bert / "model.safetensors").rename(bert / "weights.safetensors")
    change(bert / "config.json", transformers_weights="weights.safetensors")
    load_model(bert)
    change(bert / "config.json", num_hidden_layers=9_999)
    with little(), pytest.raises(InvalidInput, match="its files hold"):
        load_model(bert)


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "model.bin", "a\0.safetensors", "", None, 3, [], {}]
)
def test_an_index_lists_only_files_beside_it(bert: Path, name: object) -> None:
    (bert / "model.safetensors").rename(bert / "other.safetensors")
    (bert / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"x": name}}))
    with pytest.raises(
        ModelNotFound, match=r"model\.safetensors\.index\.json of .* only \*\.safetensors files in the same folder"
    ):
        load_model(bert)


def test_classes_that_are_named_like_counts_are_no_counts(publish: Publish, bert: Path) -> None:
    names = {"layer cake": 400_000, "label": 0}
    change(bert / "config.json", label2id=names, id2label={str(number): name for name, number in names.items()})
    publish(bert, "owner/bert")
    load_model("owner/bert")


# What is downloaded, and when


@pytest.fixture
def downloads(publish: Publish, bert: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Names and revisions in the order in which they are asked for; what is in the repository lands in the cache."""
    snapshot = publish(bert, "owner/bert")
    asked = []

    def download(repository: str, name: str, *, revision: str | None = None) -> str:
        asked.append((name, revision))
        if not (snapshot / name).is_file():
            raise EntryNotFoundError(f"404: {repository} has no {name}")
        return str(snapshot / name)

    monkeypatch.setattr(checkpoint_files, "hf_hub_download", download)
    return asked


def test_weights_come_last_and_from_the_commit_of_the_settings(downloads: list[tuple[str, str | None]]) -> None:
    load_model("owner/bert")
    assert downloads[:2] == [("adapter_config.json", None), ("config.json", None)]
    assert {revision for _, revision in downloads[2:]} == {COMMIT}
    assert [name for name, _ in downloads].index("model.safetensors") == len(downloads) - 1


def test_no_weights_are_downloaded_for_settings_that_no_model_has(
    downloads: list[tuple[str, str | None]], publish: Publish, bert: Path
) -> None:
    change(bert / "config.json", num_hidden_layers=10**6)
    shutil.copy(bert / "config.json", min((bert.parent / "cache").glob("*/snapshots/*")))
    with pytest.raises(InvalidInput, match="more than any model has"):
        load_model("owner/bert")
    assert [name for name, _ in downloads] == ["adapter_config.json", "config.json"]


def test_no_weights_are_downloaded_for_a_question_that_is_refused(downloads: list[tuple[str, str | None]]) -> None:
    with pytest.raises(InvalidInput, match="no layer 7"):
        load_model("owner/bert", check=lambda outline: outline.check_view(layer=7))
    assert "model.safetensors" not in dict(downloads)


@pytest.mark.parametrize("name", ["nobody/nothing", "not a name/at all"])
def test_a_repository_that_is_not_there(publish: Publish, name: str) -> None:
    with pytest.raises(ModelNotFound, match=rf"Could not load {name}.*Tried: the local cache"):
        load_model(name)


def test_a_repository_with_pickles_only(publish: Publish, bert: Path) -> None:
    (bert / "model.safetensors").rename(bert / "pytorch_model.bin")
    publish(bert, "owner/bert")
    with pytest.raises(ModelNotFound, match=r"owner/bert"):
        load_model("owner/bert")


@pytest.mark.parametrize("content", [b"{", b"[]", b"[" * 100_000, b"\0", b""])
def test_a_broken_file_of_a_repository_is_named(publish: Publish, bert: Path, content: bytes) -> None:
    snapshot = publish(bert, "owner/bert")
    (snapshot / "config.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"config\.json .*(can't be read|expected a JSON object)"):
        load_model("owner/bert")


def test_truncated_weights_of_a_repository(publish: Publish, bert: Path) -> None:
    snapshot = publish(bert, "owner/bert")
    (snapshot / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(InvalidInput, match=r"owner/bert could not be loaded .*download is complete"):
        load_model("owner/bert")


# Repositories that hold only an adapter


@pytest.fixture
def adapter(bert: Path) -> Path:
    """A folder with an adapter of owner/bert, and nothing else."""
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(BertForMaskedLM.from_pretrained(bert), peft.LoraConfig(r=2, target_modules=["query"]))
    torch.manual_seed(1)
    for name, x in model.named_parameters():
        if "lora_" in name:
            x.data = torch.randn_like(x)
    model.save_pretrained(bert.parent / "adapter")
    change(bert.parent / "adapter" / "adapter_config.json", base_model_name_or_path="owner/bert")
    return bert.parent / "adapter"


def test_an_adapter_on_the_hub_is_put_on_its_model(publish: Publish, bert: Path, adapter: Path) -> None:
    publish(bert, "owner/bert")
    publish(adapter, "owner/adapter")
    lens = normlens.load("owner/adapter")
    assert (lens.name, lens.revision) == ("owner/adapter", COMMIT)
    ids = [5, 6, 7]
    assert lens.analyze(ids)["encoder"].data.identical(normlens.load(adapter).analyze(ids)["encoder"].data)
    assert not lens.analyze(ids)["encoder"].data.identical(normlens.load(bert).analyze(ids)["encoder"].data)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"r": 10**9}, r"owner/adapter says r = 1000000000, more than its weights allow \(at most 16\)"),
        ({"r": float("nan")}, "says r = nan"),
        ({"rank_pattern": {"query": 10**9}}, "says rank_pattern = 1000000000"),
        ({"base_model_name_or_path": "owner/adapter"}, "the adapter owner/adapter is its own base"),
        (
            {"base_model_name_or_path": "/home/me/bert"},
            "adapter of /home/me/bert, which can't be loaded: .* pass .model",
        ),
        (
            {"base_model_name_or_path": "owner/lost"},
            "owner/adapter holds an adapter of owner/lost, which can't be loaded",
        ),
        ({"base_model_name_or_path": 3}, "doesn't name the model"),
        ({"revision": 3}, "doesn't name the model"),
        ({"peft_type": "NONE"}, "owner/adapter could not be loaded"),
    ],
)
def test_an_adapter_on_the_hub_that_can_not_be_put_on(
    publish: Publish, bert: Path, adapter: Path, settings: dict[str, Any], reason: str
) -> None:
    change(adapter / "adapter_config.json", **settings)
    publish(bert, "owner/bert")
    publish(adapter, "owner/adapter")
    with little(), pytest.raises((InvalidInput, ModelNotFound), match=reason):
        load_model("owner/adapter")


def test_adapters_of_each_other(adapter: Path) -> None:
    other = Path(shutil.copytree(adapter, adapter.parent / "other"))
    change(adapter / "adapter_config.json", base_model_name_or_path=str(other))
    change(other / "adapter_config.json", base_model_name_or_path=str(adapter))
    with pytest.raises(InvalidInput, match="is its own base"):
        load_model(adapter)


def test_an_adapter_whose_weights_are_a_pickle(publish: Publish, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    publish(adapter, "owner/adapter")
    with pytest.raises(ModelNotFound, match=r"owner/adapter has no adapter_model\.safetensors, and a pickle"):
        load_model("owner/adapter")


def test_an_adapter_whose_weights_are_cut_off(publish: Publish, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").write_bytes(b"\0" * 20)
    publish(adapter, "owner/adapter")
    with pytest.raises(InvalidInput, match="owner/adapter could not be loaded"):
        load_model("owner/adapter")
