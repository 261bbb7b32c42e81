"""Children trained on a text: they learn, a killed run resumes, and everything else is refused before it begins."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

import normlens
from normlens import transfer
from normlens.errors import InvalidInput, NormLensError
from normlens.translation import TrainingText, resuming, trainer

Counting = Callable[[str, str], TrainingText]
RECIPE: dict[str, Any] = {"epochs": 30, "positions": 200, "pieces": 60, "warmup": 10}
SHORT: dict[str, Any] = {**RECIPE, "epochs": 2}
SOURCE = ["eins drei fünf .", "groß zwei zwei ."]
TARGET = ["one three five .", "big two two ."]


class Told:
    """A reporter that keeps its messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def steps(self, direction: str, done: int, total: int) -> None:
        pass


@pytest.fixture(scope="module")
def grown(parent_folder: Path, counting_between: Counting, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A child from German to English whose body was trained, too."""
    parent = normlens.load(str(parent_folder))
    folder = tmp_path_factory.mktemp("grown") / "run"
    return transfer.train(parent, counting_between("de", "en"), folder, "src+body", **RECIPE).folder


def test_a_child_learns_its_language(parent: normlens.Lens, grown: Path) -> None:
    translator = transfer.child_translator(parent, grown)
    assert translator.evaluate(SOURCE, TARGET, tokenized=True).scores.chrf > 90
    assert translator.translate(["", *SOURCE])[0][0] == ""
    delta = transfer.read_delta(grown)
    assert (delta.setting, delta.training["source"], delta.training["target"]) == ("src+body", "de", "en")
    assert delta.training["dev_loss"] < 0.5 and delta.training["steps"] > 100
    assert delta.bytes == sum(path.stat().st_size for path in grown.iterdir())


def test_what_is_trained_is_told_before_it_begins(
    parent: normlens.Lens, counting_between: Counting, tmp_path: Path
) -> None:
    told = Told()
    transfer.train(parent, counting_between("de", "en"), tmp_path / "run", reporter=told, **SHORT)
    said = next(k for k, text in enumerate(told.messages) if text.startswith("src+xattn (Gheini et al. 2021): "))
    assert "cross-attention: 8,576 trained" in told.messages[said]
    assert told.messages[said + 1].startswith("de→en: 2 epochs, ")
    assert told.messages[said + 2] == "de→en: training"


class _Stop(TrainerCallback):
    """Ends a training, as a kill would, after some steps."""

    def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        if state.global_step == 9:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("setting", "languages"), [("src+lora", "de en"), ("src+xattn", "de en"), ("tgt+randxattn", "fr de")]
)
def test_a_killed_training_ends_with_the_same_child(
    parent: normlens.Lens,
    counting_between: Counting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    languages: str,
) -> None:
    source, target = languages.split()
    text = counting_between(source, target)
    straight = transfer.train(parent, text, tmp_path / "straight", setting, **SHORT)
    original = resuming.trainer_of

    def stopping(*arguments: Any) -> Any:
        stopped = original(*arguments)
        stopped.add_callback(_Stop())
        return stopped

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "SECONDS_BETWEEN_CHECKPOINTS", 0)
        patch.setattr(resuming, "trainer_of", stopping)
        with pytest.raises(KeyboardInterrupt):
            transfer.train(parent, text, tmp_path / "killed", setting, **SHORT)
    assert not (tmp_path / "killed" / f"{source}-{target}").exists()
    torch.manual_seed(5)  # whatever the process did before
    told = Told()
    resumed = transfer.train(parent, text, tmp_path / "killed", setting, reporter=told, **SHORT)
    assert f"{source}→{target}: resuming" in told.messages
    one, other = (load_file(delta.folder / "delta.safetensors") for delta in (straight, resumed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not list((tmp_path / "killed" / "training").rglob("checkpoint-*"))


def test_loading_a_child_gives_the_same_translations(parent: normlens.Lens, grown: Path) -> None:
    again = normlens.load(parent.name)
    one, other = (transfer.child_translator(lens, grown) for lens in (parent, again))
    assert one.translate(SOURCE, beams=3) == other.translate(SOURCE, beams=3)
    rows = [torch.tensor(ids) for ids in one.vocabulary.source_ids(SOURCE)]
    with torch.no_grad():
        logits = [
            translator.model(input_ids=rows[0][None], decoder_input_ids=rows[0][None]).logits
            for translator in (one, other)
        ]
    assert torch.equal(*logits)


def test_a_merged_child_is_a_model_like_any_other(parent: normlens.Lens, grown: Path, tmp_path: Path) -> None:
    folder = transfer.merge(parent, grown, tmp_path / "merged")
    merged = normlens.translation.evaluate(str(folder), SOURCE, TARGET, tokenized=True)
    assert merged == transfer.child_translator(parent, grown).evaluate(SOURCE, TARGET, tokenized=True)
    lens = normlens.load(str(folder))
    assert lens.analyze(SOURCE[0], target_text=TARGET[0]).conservation_error < 1e-4
    facts = json.loads((folder / "training.json").read_text())
    assert facts["parent"] == parent.name and len(facts["parent_sha256"]) == 64
    assert not (folder / "parts").exists()
    with pytest.raises(InvalidInput, match="exists already"):
        transfer.merge(parent, grown, folder)


def test_a_child_with_a_new_target_is_merged(parent: normlens.Lens, counting_between: Counting, tmp_path: Path) -> None:
    delta = transfer.train(parent, counting_between("fr", "de"), tmp_path / "run", "tgt+body", **RECIPE)
    translator = transfer.child_translator(parent, delta.folder)
    found = translator.evaluate(["un trois cinq ."], ["eins drei fünf ."], tokenized=True)
    assert found.scores.chrf > 60
    folder = transfer.merge(parent, delta.folder, tmp_path / "merged")
    assert (
        normlens.translation.evaluate(str(folder), ["un trois cinq ."], ["eins drei fünf ."], tokenized=True) == found
    )


def test_the_body_of_a_child_with_the_embeddings_of_its_parent(parent: normlens.Lens, grown: Path) -> None:
    restored = transfer.parent_translator(parent, grown).model
    child = transfer.load_child(parent, grown)
    groups = transfer.parameter_groups(parent)
    parents, childs = dict(parent.model.named_parameters()), dict(child.named_parameters())
    for name, x in restored.named_parameters():
        embeds = name in groups.of(["source embeddings", "target embeddings", "shared embeddings"])
        assert torch.equal(x, (parents if embeds else childs)[name]), name
    assert not torch.equal(restored.model.decoder.layers[0].fc1.weight, parents["model.decoder.layers.0.fc1.weight"])
    assert transfer.parent_translator(parent).translate(["un deux trois ."])[0] == ["one two three ."]


def test_children_are_stitched_for_a_pair_that_neither_saw(
    parent: normlens.Lens, grown: Path, counting_between: Counting, tmp_path: Path
) -> None:
    other = transfer.train(parent, counting_between("fr", "de"), tmp_path / "run", "tgt+xattn", **SHORT).folder
    translator = transfer.child_translator(parent, other, source=grown)
    source_child, target_child = (transfer.load_child(parent, folder) for folder in (grown, other))
    model = translator.model
    assert torch.equal(model.get_encoder().embed_tokens.weight, source_child.get_encoder().embed_tokens.weight)
    for name, x in target_child.named_parameters():
        if "encoder.embed_tokens" not in name:
            assert torch.equal(x, dict(model.named_parameters())[name]), name
    assert (translator.training["source"], translator.training["target"]) == ("de", "de")
    assert len(translator.translate(SOURCE)[0]) == 2
    for one, two in ((grown, other), (grown, grown), (other, other)):
        with pytest.raises(InvalidInput, match="expected a child with a new target language"):
            transfer.child_translator(parent, one, source=two)


def test_bad_input_is_refused_before_anything_is_written(
    parent: normlens.Lens, counting_between: Counting, tmp_path: Path
) -> None:
    text, folder = counting_between("de", "en"), tmp_path / "run"
    with pytest.raises(InvalidInput, match="no setting 'xattn'"):
        transfer.train(parent, text, folder, "xattn")
    with pytest.raises(InvalidInput, match="A recipe has no 'width'"):
        transfer.train(parent, text, folder, width=3)
    for wrong in ({"epochs": 0}, {"pieces": 0}, {"precision": "int8"}, {"learning_rate": 0.0}):
        with pytest.raises(InvalidInput, match="expected"):
            transfer.train(parent, text, folder, **wrong)
    for changed, message in (
        (replace(text, lowercase=True), "was not lowercased, but this text is read so. Leave out lowercase"),
        (replace(text, tokenize=True), "was not split into words by Moses' rules"),
        (replace(text, files=[(tmp_path / "none.de", tmp_path / "none.en")]), "none.de can't be read"),
    ):
        with pytest.raises(InvalidInput, match=message):
            transfer.train(parent, changed, folder)
    half = normlens.load(parent.name, dtype="bfloat16")
    with pytest.raises(InvalidInput, match=r"are torch\.bfloat16; expected float32"):
        transfer.train(half, text, folder)
    with pytest.raises(InvalidInput, match="has no tokenizer"):
        transfer.train(normlens.load((parent.model, None)), text, folder)
    with pytest.raises(NormLensError, match="is no encoder–decoder"):
        transfer.train(normlens.load("minilm-l6"), text, folder)
    assert not folder.exists()


def test_another_training_in_the_same_folder_is_refused(
    parent: normlens.Lens, counting_between: Counting, tmp_path: Path
) -> None:
    text = counting_between("de", "en")
    delta = transfer.train(parent, text, tmp_path, "src", **SHORT)
    assert transfer.train(parent, text, tmp_path, "src", **SHORT) == delta
    with pytest.raises(InvalidInput, match=r"holds another training: setting was 'src' and is now 'src\+body'"):
        transfer.train(parent, text, tmp_path, "src+body", **SHORT)
    with pytest.raises(InvalidInput, match="holds another training: recipe was"):
        transfer.train(parent, text, tmp_path, "src", **RECIPE)


def test_a_child_of_another_trainer_has_no_vocabulary(parent: normlens.Lens, tmp_path: Path) -> None:
    transfer.save_delta(transfer.start_child(parent, "src"), tmp_path / "child")
    with pytest.raises(InvalidInput, match="has no vocabulary of its new language"):
        transfer.child_translator(parent, tmp_path / "child")


def test_a_child_of_low_rank_is_merged_and_stitched(
    parent: normlens.Lens, counting_between: Counting, grown: Path, tmp_path: Path
) -> None:
    delta = transfer.train(parent, counting_between("fr", "de"), tmp_path / "run", "tgt+lora", **RECIPE)
    own = transfer.child_translator(parent, delta.folder).translate(["un trois cinq ."])
    folder = transfer.merge(parent, delta.folder, tmp_path / "merged")
    merged = normlens.translation.evaluate(str(folder), ["un trois cinq ."], ["eins drei fünf ."], tokenized=True)
    assert merged.translations == own[0]
    stitched = transfer.child_translator(parent, delta.folder, source=grown)
    assert not any("lora" in name for name, _ in stitched.model.named_parameters())
    assert len(stitched.translate(SOURCE)[0]) == 2
    before = transfer.parent_translator(parent).model.model.decoder.layers[0].encoder_attn.v_proj.weight
    after = transfer.parent_translator(parent, delta.folder).model.model.decoder.layers[0].encoder_attn.v_proj.weight
    assert not torch.equal(before, after)
