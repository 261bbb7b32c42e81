"""A classifier fine-tuned on a handful of sentences: choice on dev, stop and resume, the folder that comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput
from normlens.faithfulness import LensClassifier
from reproduce.training.classifier import train as finetune
from reproduce.training.classifier.settings import Settings, read_arguments


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences with "cat" are positive, those with "dog" negative."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "sst").mkdir()
    lines = [
        f"({root} (2 {article}) ({root} (2 {animal}) (2 {verb})))"
        for article in ("the", "a")
        for animal, root in (("cat", 4), ("dog", 0))
        for verb in ("sat", "ran", "is", "here")
    ]
    for name in ("train", "dev", "test"):
        (folder / "sst" / f"{name}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> str:
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=20, pad_token_id=0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def settings(start: str) -> Settings:
    return Settings("sst", start, epochs=8, batch_size=4, longest=8, learning_rates=[1e-6, 1e-2])


@pytest.fixture(scope="module")
def out(settings: Settings, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    finetune.finetune(settings, data, folder)
    return folder


def test_the_rate_that_learns_is_chosen_on_dev(out: Path) -> None:
    training = json.loads((out / "model" / "training.json").read_text())
    slow, fast = training["tried"]
    assert training["learning_rate"] == 1e-2
    assert slow["dev_accuracy"] < fast["dev_accuracy"] == training["test_accuracy"] == 1.0
    assert fast["steps"] == 8 * 16 // 4
    assert training["texts"] == {"training": 16, "dev": 16, "test": 16}
    assert not list(out.glob("**/model/*.bin")) and not list(out.glob("**/checkpoint-*"))


def test_the_folder_loads_as_a_classifier(out: Path) -> None:
    lens = normlens.load(out / "model")
    classifier = LensClassifier(lens)
    assert classifier.classes == ["negative", "positive"]
    read = [classifier.encode(text).ids for text in ("the cat sat", "a dog sat")]
    assert classifier.probabilities(read).argmax(axis=1).tolist() == [1, 0]


def test_what_is_done_is_not_done_again(
    settings: Settings, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "trainer_of", None)
    model = out / "model"
    moved = model.rename(out / "model.before")
    again = finetune.finetune(settings, data, out)  # both rates are reported; only the model is written anew
    assert json.loads((again / "training.json").read_text()) == json.loads((moved / "training.json").read_text())


def test_other_settings_are_refused(settings: Settings, data: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text((out / "settings.json").read_text())
    with pytest.raises(InvalidInput, match="seed 1, now 2"):
        finetune.finetune(Settings(**{**settings.__dict__, "seed": 2}), data, tmp_path)
    with pytest.raises(InvalidInput, match="learning rates above 0"):
        Settings("sst", learning_rates=[])


def test_the_command_line(data: Path) -> None:
    settings, folder, out = read_arguments(
        None, ["--task", "sst", "--data", str(data), "--out", "x", "--learning-rates", "1e-3", "--batch-size", "7"]
    )
    assert (settings, folder, out) == (Settings("sst", batch_size=7, learning_rates=[1e-3]), data, Path("x"))


def test_a_killed_training_goes_on_where_it_stopped(
    settings: Settings, data: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(finetune.Clock):
        def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
            if state.global_step == 14:  # between the third epoch's end and the fourth's
                raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(finetune, "Clock", Killed)
        finetune.finetune(settings, data, tmp_path)
    seen: list[int] = []

    class Watched(finetune.Clock):
        def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
            seen.append(state.global_step)

    monkeypatch.setattr(finetune, "Clock", Watched)
    finetune.finetune(settings, data, tmp_path)
    assert seen[0] == 13
    name = "rate-1e-06/report.json"
    one, other = (json.loads((folder / name).read_text()) for folder in (tmp_path, out))
    assert one["dev_by_epoch"] == other["dev_by_epoch"] and one["steps"] == other["steps"]
