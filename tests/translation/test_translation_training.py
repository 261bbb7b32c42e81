"""A tiny translation model: trained, killed and resumed, refused, and the folder that comes out."""

import importlib.util
import json
import random
import resource
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import MarianMTModel, TrainerCallback

import normlens
from normlens.alignment import Extractor, Reading
from normlens.errors import InvalidInput, NormLensError
from normlens.translation import TrainingText, guidance, resuming, train, trainer, training_run
from normlens.translation.batches import IGNORED, EncodedPairs
from normlens.translation.run_folder import last_checkpoint
from normlens.translation.scoring import held_out_loss
from normlens.translation.trainer import device_for_training, half_epochs, smoothed_loss
from normlens.translation.vocabulary import END, learn_pieces

TINY: dict[str, Any] = {
    "epochs": 2, "positions": 100, "pieces": 60, "width": 16, "layers": 1, "heads": 2, "warmup": 2, "dropout": 0.1,
}  # fmt: skip


@pytest.fixture(scope="module")
def straight(counting: TrainingText, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both directions, without interruption."""
    folder = tmp_path_factory.mktemp("straight") / "models"
    models = train(counting, folder, both=True, snapshots=True, **TINY)
    assert (models.forward, models.reverse) == (folder / "de-en", folder / "en-de")
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def assert_same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.done: list[tuple[str, int, int]] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def steps(self, direction: str, done: int, total: int) -> None:
        self.done.append((direction, done, total))


class _Stop(TrainerCallback):
    """Ends the process's training, as a kill would, after some steps."""

    def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        if state.global_step == 9:
            raise KeyboardInterrupt


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets trainings checkpoint at every step, and stop after nine; what it returns undoes both."""
    original = resuming.trainer_of

    def stopping(*arguments: Any) -> Any:
        stopped = original(*arguments)
        stopped.add_callback(_Stop())
        return stopped

    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr(resuming, "trainer_of", stopping)
    return monkeypatch.undo


def test_a_killed_training_ends_with_the_same_weights(
    counting: TrainingText, straight: Path, tmp_path: Path, killed: Callable[[], None]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(counting, tmp_path, **TINY)
    course = tmp_path / "training" / "de-en"
    assert last_checkpoint(course) == course / "checkpoint-8"
    assert len(list(course.glob("checkpoint-*"))) == 2
    (course / "checkpoint-99").mkdir()
    (course / "checkpoint-99" / "trainer_state.json").write_text('{"global_st')  # killed while it was written
    killed()
    torch.manual_seed(5)  # whatever the process did before
    told = Told()
    train(counting, tmp_path, reporter=told, **TINY)
    assert "de→en: resuming" in told.messages
    assert told.done[0][1] == 8
    assert_same(straight / "de-en", tmp_path / "de-en")
    log = json.loads((course / "log.json").read_text())
    for name in ("step", "seconds"):
        values = [entry[name] for entry in log]
        assert values == sorted(values)
    assert list(course.glob("checkpoint-*")) == []


def test_a_full_disk_is_explained_and_the_run_resumes(
    counting: TrainingText,
    straight: Path,
    tmp_path: Path,
    killed: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(KeyboardInterrupt):
        train(counting, tmp_path, **TINY)
    killed()
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))  # Python ignores SIGXFSZ
        with pytest.raises(NormLensError, match=r"could not be written: .*the same command resumes") as raised:
            train(counting, tmp_path, **TINY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(tmp_path) in str(raised.value)
    assert not (tmp_path / "de-en").exists()
    train(counting, tmp_path, **TINY)
    assert_same(straight / "de-en", tmp_path / "de-en")


def test_a_disk_without_room_for_checkpoints_is_refused(
    counting: TrainingText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(NormLensError, match=r"has 1 MB left, but training needs about \d MB"):
        train(counting, tmp_path, **{**TINY, "width": 64})


def test_the_other_direction_can_follow_later(counting: TrainingText, straight: Path, tmp_path: Path) -> None:
    turned = replace(counting, source="de", target="en")
    train(turned, tmp_path, **TINY)
    assert_same(straight / "de-en", tmp_path / "de-en")
    train(turned, tmp_path, both=True, **TINY)
    assert_same(straight / "en-de", tmp_path / "en-de")


def test_callers_random_numbers_are_left_alone(counting: TrainingText, tmp_path: Path) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    train(counting, tmp_path, **{**TINY, "epochs": 0.1})
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert drawn == (random.random(), np.random.rand(), torch.rand(1).item())


def test_the_time_is_estimated_before_the_training_begins(
    counting: TrainingText, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = Told()
    train(counting, tmp_path, reporter=told, **{**TINY, "epochs": 0.5})
    estimate = next(k for k, text in enumerate(told.messages) if "measured on a few steps" in text)
    assert "steps on cpu: about" in told.messages[estimate]
    assert estimate < told.messages.index("de→en: training")
    assert told.messages[1] == "343 lines read, 10 held out, 333 to train on"
    steps = told.done[-1][2]
    assert [done for _, done, _ in told.done] == list(range(steps + 1))
    assert capfd.readouterr().out == ""


def test_a_guided_training_learns_its_links(
    counting: TrainingText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def straight_links(source: Path, target: Path, ahead: Path, back: Path) -> None:
        lines = [" ".join(f"{k}-{k}" for k in range(len(line.split()))) for line in source.read_text().splitlines()]
        for path in (ahead, back):
            path.write_text("\n".join(lines) + "\n")

    monkeypatch.setattr(guidance, "link_files", straight_links)
    monkeypatch.setattr(training_run, "eflomal_program", lambda: "eflomal-align")
    settings = {**TINY, "guide": "eflomal", "epochs": 8, "dropout": 0.0, "learning_rate": 3e-3}
    models = train(counting, tmp_path / "guided", **settings)
    extractor = Extractor(normlens.load(str(models.forward)))
    pairs = [
        extractor.pair("drei eins zwei .", "three one two ."),
        extractor.pair("vier sechs drei .", "four six three ."),
    ]
    for soft in extractor.soft(pairs, Reading(0)):
        assert [(link.source, link.target) for link in soft.links()] == [(k, k) for k in range(4)]


def test_smoothed_loss_by_hand() -> None:
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]))
    loss = smoothed_loss(type("Outputs", (), {"logits": logits}), torch.tensor([[0, IGNORED]]))
    expected = -0.9 * np.log(0.5) - 0.1 * np.log([0.5, 0.25, 0.25]).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_half_epochs_end_with_the_last_step() -> None:
    assert half_epochs(100, 2) == {25, 50, 75, 100}
    assert half_epochs(10, 0.25) == {10}


def test_model_loads_and_is_described_by_its_own_numbers(straight: Path) -> None:
    folder, course = straight / "de-en", straight / "training" / "de-en"
    analysis = normlens.load(folder).analyze("eins zwei drei .", target_text="one two three .")
    assert "cross" in analysis.groups
    training = json.loads((folder / "training.json").read_text())
    assert {name: training["recipe"][name] for name in TINY} == TINY
    assert training["text"]["training"] == len((straight / "training/text/train.de").read_text().splitlines())
    assert training["steps"] == max(half_epochs(training["steps"], TINY["epochs"]))
    card = (folder / "README.md").read_text()
    assert training["bleu_signature"] in card and "# de → en" in card and "case is folded" in card
    assert {tensor.dtype for tensor in weights(folder).values()} == {torch.float16}
    snapshots = sorted((course / "snapshots").iterdir())
    assert len(snapshots) == 4
    assert_same(snapshots[-1], folder)
    assert not (straight / "training" / "en-de" / "log.json").samefile(course / "log.json")


def test_loss_falls_and_counts_every_piece(straight: Path) -> None:
    log = json.loads((straight / "training/de-en/log.json").read_text())
    losses = [entry["dev_loss"] for entry in log if "dev_loss" in entry]
    assert losses[-1] < losses[0] < np.log(60) + 1
    model = MarianMTModel.from_pretrained(straight / "de-en", dtype=torch.float32).train()
    pairs = EncodedPairs([[5, 6, END], [7, END]], [[8, END], [9, 10, 11, END]])
    one_by_one = [held_out_loss(model, EncodedPairs([s], [t])) for s, t in zip(pairs.source, pairs.target, strict=True)]
    assert held_out_loss(model, pairs) == pytest.approx((2 * one_by_one[0] + 4 * one_by_one[1]) / 6, rel=1e-5)
    assert model.training


def test_a_finished_training_is_not_repeated_and_another_is_refused(
    counting: TrainingText, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (straight / "training" / "run.json").read_text()
    monkeypatch.setattr(training_run, "prepare", None)
    assert train(counting, straight, both=True, **TINY).reverse == straight / "en-de"
    with pytest.raises(
        InvalidInput, match=r"holds another training: recipe was .*'epochs': 2.* and is now .*'epochs': 3"
    ):
        train(counting, straight, **{**TINY, "epochs": 3})
    with pytest.raises(InvalidInput, match="held out was 10 and is now 20"):
        train(replace(counting, held_out=20), straight, **TINY)
    other = tmp_path / "text.de"
    other.write_text("eins\n" * 343)
    with pytest.raises(InvalidInput, match=r"text was \['text\.de .* and is now \['text\.de "):
        train(replace(counting, files=[(other, counting.files[0][1])]), straight, **TINY)
    assert (straight / "training" / "run.json").read_text() == before


def test_a_folder_of_something_else_is_left_alone(counting: TrainingText, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InvalidInput, match=r"holds thesis\.tex, and no training"):
        train(counting, tmp_path, **TINY)
    with pytest.raises(InvalidInput, match="is a file; expected a folder"):
        train(counting, tmp_path / "thesis.tex", **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_without_eflomal_nothing_begins(
    counting: TrainingText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("normlens.bitext.eflomal.SCRIPTS", "")
    with pytest.raises(InvalidInput, match="eflomal-align isn't installed"):
        train(counting, tmp_path / "new", guide="eflomal", **TINY)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("package", ["sentencepiece", "accelerate", "sacrebleu"])
def test_a_missing_package_is_named_with_its_extra(
    package: str, counting: TrainingText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else original(name))
    with pytest.raises(
        InvalidInput, match=rf"{package}, which isn't installed\. Run `pip install \"normlens\[translation\]\"`"
    ):
        train(counting, tmp_path / "new", **TINY)
    assert not (tmp_path / "new").exists()


def test_a_device_that_is_not_there_is_named() -> None:
    assert device_for_training("cpu") == "cpu"
    with pytest.raises(InvalidInput, match="can't be trained on 'cuda:7'; expected one of cpu"):
        device_for_training("cuda:7")


def test_a_vocabulary_shrinks_with_the_text_and_needs_some(tmp_path: Path) -> None:
    learn_pieces(["eins zwei drei", "one two three"] * 3, tmp_path / "small.spm", 2000, fold_case=True)
    with pytest.raises(InvalidInput, match="No vocabulary of 5000 pieces or fewer"):
        learn_pieces(["a", "b"], tmp_path / "none.spm", 5000, fold_case=True)
    assert not (tmp_path / "none.spm").exists()


def test_the_recipe_is_kept_with_the_run(straight: Path) -> None:
    recipe = json.loads((straight / "training" / "recipe.json").read_text())
    assert recipe == asdict(normlens.translation.recipe_for(333, **TINY))
