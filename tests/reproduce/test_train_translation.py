"""A tiny translation model: its text, its batches, its masks, stop and resume, and the folder that comes out."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import MarianMTModel, MarianTokenizer, TrainerCallback

import normlens
from normlens.alignment import Extractor, Reading
from normlens.errors import InvalidInput
from reproduce.data import parallel_text as parallel_text
from reproduce.data.parallel_text import normalized, prepare, split
from reproduce.study.training import last_checkpoint
from reproduce.training.translation import course as translation_course
from reproduce.training.translation import guide as translation_guide
from reproduce.training.translation import train as train_translation
from reproduce.training.translation.batches import (
    END,
    IGNORED,
    PADDING,
    UNKNOWN,
    Course,
    EncodedPairs,
    batches_of_like_length,
    encode,
    make_tokenizer,
    mask,
    padded,
)
from reproduce.training.translation.course import smoothed_loss, steps_of_snapshots
from reproduce.training.translation.export import held_out_loss
from reproduce.training.translation.guide import Guide, guided_loss, statistical_links
from reproduce.training.translation.settings import Settings
from reproduce.training.translation.train import read_arguments, train

NUMBERS = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "fünf": "five", "sechs": "six", "groß": "big"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Counting in two languages: 343 sentences of three numbers in one corpus, three special lines in another."""
    folder = tmp_path_factory.mktemp("data")
    parallel, gold = folder / "deen" / "parallel", folder / "deen" / "gold"
    parallel.mkdir(parents=True)
    gold.mkdir()
    words = [(a, b, c) for a in NUMBERS for b in NUMBERS for c in NUMBERS]
    lines = [f"{' '.join(NUMBERS[w] for w in three)}.\t{' '.join(three)}.\n" for three in words]
    (parallel / "tatoeba.en-de.tsv").write_text("".join(lines), encoding="utf-8")
    special = ["Not so !\tDas stimmt nicht.\n", "a\t \n", "one one one .\teins eins eins .\n"]
    (parallel / "europarl_sample.en-de.tsv").write_text("".join(special), encoding="utf-8")
    (gold / "test.de").write_text("das stimmt nicht !\ngross gross eins .\n", encoding="utf-8")
    (gold / "test.en").write_text("but this is not what happens .\nfive six five\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings("de-en", epochs=2, positions=100, pieces=60, width=16, layers=1, heads=2, warmup=2, held_out=10)


def test_text_leaves_out_test_sentences_empty_lines_and_repetitions(data: Path) -> None:
    text = prepare(data, "all", held_out=10)
    counts = text.preparation
    # of the test sentences one is in the small corpus; "groß groß eins" and "five six five" are in the large one
    assert (counts.read, counts.empty, counts.test, counts.repeated) == (346, 1, 3, 1)
    assert counts.training + counts.held_out + counts.near_held_out == 346 - 1 - 3 - 1
    everything = [*text.training, *text.held_out]
    assert ("groß groß eins .", "big big one .") not in everything
    assert ("eins zwei drei .", "one two three .") in everything


def test_free_text_is_only_what_may_be_given_away(data: Path) -> None:
    assert prepare(data, "free", held_out=10).preparation.read == 343


def test_normalizing_tokenizes_as_moses_does_and_lowercases() -> None:
    pair = ("Das ist's, „Haus & Hof“!", "It's the president's, isn't it?")
    assert list(normalized([pair], tokenized=False)) == [
        ("das ist ' s , „ haus & hof “ !", "it 's the president 's , isn 't it ?")
    ]
    assert list(normalized([("A'b  C", "D.E")], tokenized=True)) == [("a'b c", "d.e")]


def test_held_out_pairs_share_no_sentence_with_the_others() -> None:
    pairs = [(f"a{k // 2}", f"b{k}") for k in range(100)]
    training, held = split(pairs, 20)
    assert len(held) == 20
    assert {de for de, _ in training}.isdisjoint(de for de, _ in held)
    assert len(training) == 100 - 2 * len({de for de, _ in held})
    assert split(pairs, 20) == (training, held)


def test_missing_and_malformed_text_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"test\.de is missing"):
        prepare(tmp_path, "all", 1)
    with pytest.raises(InvalidInput, match="holds no corpus"):
        parallel_text.corpus_files(tmp_path, "all")
    with pytest.raises(InvalidInput, match="341 pairs are left"):
        prepare(data, "all", 1000)
    broken = tmp_path / "x.en-de.tsv"
    broken.write_text("one\teins\nonly one column\n")
    with pytest.raises(InvalidInput, match=r"Line 2 .* has 1 columns"):
        list(parallel_text.read_pairs(broken))


@pytest.fixture(scope="module")
def tokenizer(data: Path, tmp_path_factory: pytest.TempPathFactory) -> MarianTokenizer:
    pairs = prepare(data, "free", 10).training
    return make_tokenizer(pairs, tmp_path_factory.mktemp("tokenizer"), "en", "de", 60)


def test_encoding_is_what_the_saved_tokenizer_does(tokenizer: MarianTokenizer) -> None:
    pairs = [("eins zwei .", "one two ."), ("groß ☃ drei", "Big three")]
    encoded = encode(pairs, tokenizer)
    assert encoded.source == tokenizer([en for _, en in pairs])["input_ids"]
    assert encoded.target == tokenizer(text_target=[de for de, _ in pairs])["input_ids"]
    assert UNKNOWN in encoded.target[1]
    assert tokenizer.decode(encoded.source[1], skip_special_tokens=True) == "big three"
    assert len(encode(pairs, tokenizer, longest=5)) == 1


def random_pairs(count: int) -> EncodedPairs:
    generator = np.random.default_rng(0)
    sides = [
        [[*generator.integers(3, 60, size=generator.integers(1, 30)).tolist(), END] for _ in range(count)] for _ in "st"
    ]
    return EncodedPairs(*sides)


def test_batches_hold_every_pair_once_within_the_budget() -> None:
    pairs = random_pairs(500)
    batches = batches_of_like_length(pairs, 120, seed=3)
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    longest = np.maximum(*pairs.lengths())
    assert all(len(batch) == 1 or len(batch) * longest[batch].max() <= 120 for batch in batches)
    lengths = pairs.lengths()[1]
    padding = sum(len(batch) * lengths[batch].max() for batch in batches) / lengths.sum() - 1
    assert padding < 0.05


def test_batch_shifts_labels_and_pads() -> None:
    batch = padded(EncodedPairs([[5, 6, END], [7, END]], [[8, END], [9, 10, END]]), np.array([0, 1]))
    assert batch["input_ids"].tolist() == [[5, 6, END], [7, END, PADDING]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[8, END, IGNORED], [9, 10, END]]
    assert batch["decoder_input_ids"].tolist() == [[PADDING, 8, END], [PADDING, 9, 10]]


def test_mask_hides_its_share_of_the_input_but_neither_start_nor_padding() -> None:
    ids = torch.full((200, 51), 7)
    ids[:, 0] = ids[:, 41:] = PADDING
    hidden = mask(ids, 0.3, torch.Generator().manual_seed(0))
    assert (hidden[ids == PADDING] == PADDING).all()
    # 8,000 draws: the standard deviation of the share is 0.005
    assert (hidden[:, 1:41] == UNKNOWN).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert set(hidden.unique().tolist()) == {UNKNOWN, PADDING, 7}


def test_course_repeats_itself_and_masks_only_the_input() -> None:
    pairs = random_pairs(100)
    one, other = (Course(pairs, 1.5, 200, 0.5, plain=0, seed=4) for _ in range(2))
    clean = Course(pairs, 1.5, 200, 0.0, plain=0, seed=4)
    whole = len(batches_of_like_length(pairs, 200, 0))
    assert len(one) == whole + (whole + 1) // 2
    assert one.pairs_seen[whole] == 100
    for name, tensor in one[3].items():
        assert torch.equal(tensor, other[3][name])
        assert torch.equal(tensor, clean[3][name]) == (name != "decoder_input_ids")


def test_masking_begins_after_the_plain_epochs() -> None:
    pairs = random_pairs(100)
    course = Course(pairs, 2, 200, 0.5, plain=1, seed=4)
    clean = Course(pairs, 2, 200, 0.0, plain=0, seed=4)
    unmasked = [torch.equal(course[k]["decoder_input_ids"], clean[k]["decoder_input_ids"]) for k in range(len(course))]
    assert all(unmasked[: len(course) // 2])
    assert not any(unmasked[(len(course) + 1) // 2 :])


def test_guide_lets_the_row_of_a_piece_look_at_its_links_and_unlinked_ones_at_the_end(
    tokenizer: MarianTokenizer,
) -> None:
    pairs = encode(
        [("zwei eins", "two one"), ("drei", "three big")], tokenizer
    )  # from English: the German is the target
    guide = Guide(pairs, [frozenset({(0, 0), (1, 1)}), frozenset({(0, 0)})], tokenizer)
    source, target = (max(map(len, side)) for side in (pairs.source, pairs.target))
    wanted = guide.wanted(np.array([0, 1]), target, source)
    pieces = [tokenizer.convert_ids_to_tokens(ids[:-1]) for ids in pairs.source]
    word = [np.cumsum([piece.startswith("▁") for piece in one]) - 1 for one in pieces]
    assert not wanted[:, 0].any()  # the start token's row
    first = wanted[0, 1].numpy()  # the first piece of the first target word: all pieces of the first source word
    assert first[: len(word[0])].tolist() == (word[0] == 0).astype(float).tolist()
    assert first[len(word[0]) :].sum() == 0
    assert wanted[1, 1, : len(word[1])].tolist() == (word[1] == 0).astype(float).tolist()
    free = Guide(pairs, [frozenset(), frozenset()], tokenizer).wanted(np.array([1]), target, source)
    assert free[0, 1].nonzero().flatten().tolist() == [len(pairs.source[1]) - 1]


def test_guided_loss_by_hand_and_hidden_inputs_are_left_out() -> None:
    weights = torch.tensor([[[[0.5, 0.5], [0.8, 0.2], [0.1, 0.9]], [[0.5, 0.5], [0.4, 0.6], [0.1, 0.9]]]])
    wanted = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    assert guided_loss(weights, wanted, torch.tensor([[PADDING, 7, 8]])).item() == pytest.approx(
        -(np.log(0.6) + np.log(0.9)) / 2
    )
    assert guided_loss(weights, wanted, torch.tensor([[PADDING, 7, UNKNOWN]])).item() == pytest.approx(-np.log(0.6))


def test_the_guide_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InvalidInput, match="eflomal-align isn't installed"):
        statistical_links(tmp_path, "de", "en")


def test_a_guided_training_learns_its_links(
    settings: Settings, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def straight_links(source: Path, target: Path, ahead: Path, back: Path) -> None:
        lines = [" ".join(f"{k}-{k}" for k in range(len(line.split()))) for line in source.read_text().splitlines()]
        for path in (ahead, back):
            path.write_text("\n".join(lines) + "\n")

    monkeypatch.setattr(translation_guide, "run_aligner", straight_links)
    model = train(replace(settings, guide="eflomal", masking=0.0, epochs=20), data, tmp_path / "guided")
    extractor = Extractor(normlens.load(str(model)))
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


def test_snapshots_end_half_epochs() -> None:
    assert steps_of_snapshots(100, 2) == {25, 50, 75, 100}
    assert steps_of_snapshots(10, 0.25) == {10}


class _Stop(TrainerCallback):
    """Ends the process's training, as a kill would, after some steps."""

    def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        if state.global_step == 9:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def straight(settings: Settings, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training without interruption."""
    out = tmp_path_factory.mktemp("straight")
    train(settings, data, out)
    return out


def test_interrupted_training_ends_with_the_same_weights(
    settings: Settings, data: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = train_translation.trainer_of
    with monkeypatch.context() as patch:
        patch.setattr(translation_course, "SECONDS_BETWEEN_CHECKPOINTS", 0)

        def stopping(*arguments):  # type: ignore[no-untyped-def]
            trainer = original(*arguments)
            trainer.add_callback(_Stop())
            return trainer

        patch.setattr(train_translation, "trainer_of", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(settings, data, tmp_path)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-8")
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2
    (tmp_path / "checkpoint-99").mkdir()
    train(settings, data, tmp_path)
    one, other = (load_file(out / "model" / "model.safetensors") for out in (straight, tmp_path))
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)
    steps, seconds = zip(
        *((e["step"], e["seconds"]) for e in json.loads((tmp_path / "log.json").read_text())), strict=True
    )
    assert list(steps) == sorted(steps)
    assert list(seconds) == sorted(seconds)


def test_model_loads_and_is_described_by_its_own_numbers(settings: Settings, straight: Path) -> None:
    folder = straight / "model"
    analysis = normlens.load(folder).analyze("eins zwei drei .", target_text="one two three .")
    assert "cross" in analysis.groups
    training = json.loads((folder / "training.json").read_text())
    assert training["settings"] == asdict(settings)
    assert training["text"]["training"] == len((straight / "text" / "train.de").read_text().splitlines())
    assert training["steps"] == max(steps_of_snapshots(training["steps"], settings.epochs))
    card = (folder / "README.md").read_text()
    assert training["bleu_signature"] in card and "CC BY 2.0" in card and "OpenNMT" not in card
    weights = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    snapshots = sorted(path.name for path in (straight / "snapshots").iterdir())
    assert len(snapshots) == 4
    last = load_file(straight / "snapshots" / snapshots[-1] / "model.safetensors")
    torch.testing.assert_close(last, weights, rtol=0, atol=0)


def test_loss_falls_and_counts_every_piece(straight: Path) -> None:
    losses = [entry["dev_loss"] for entry in json.loads((straight / "log.json").read_text()) if "dev_loss" in entry]
    assert losses[-1] < losses[0] < np.log(60) + 1
    model = MarianMTModel.from_pretrained(straight / "model", dtype=torch.float32).train()
    pairs = EncodedPairs([[5, 6, END], [7, END]], [[8, END], [9, 10, 11, END]])
    one_by_one = [held_out_loss(model, EncodedPairs([s], [t])) for s, t in zip(pairs.source, pairs.target, strict=True)]
    assert held_out_loss(model, pairs) == pytest.approx((2 * one_by_one[0] + 4 * one_by_one[1]) / 6, rel=1e-5)
    assert model.training


def test_finished_training_is_not_repeated_and_other_settings_are_refused(
    settings: Settings, data: Path, straight: Path, tmp_path: Path
) -> None:
    assert train(settings, data / "absent", straight) == straight / "model"
    shutil.copy(straight / "settings.json", tmp_path)
    with pytest.raises(InvalidInput, match="seed 1, now 2"):
        train(replace(settings, seed=2), data, tmp_path)


def test_a_training_starts_with_another_ones_weights_and_counts_on(
    settings: Settings, data: Path, straight: Path, tmp_path: Path
) -> None:
    train(replace(settings, start=str(straight), learning_rate=0.0, epochs=0.5), data, tmp_path)
    one, other = (load_file(out / "model" / "model.safetensors") for out in (straight, tmp_path))
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)
    before, after = (json.loads((out / "log.json").read_text())[-1] for out in (straight, tmp_path))
    assert after["cpu_seconds"] > before["cpu_seconds"]
    assert after["pairs"] == pytest.approx(before["pairs"] * (1 + 0.5 / settings.epochs), abs=40)


def test_a_start_must_be_finished_and_of_the_same_kind(settings: Settings, straight: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no finished training"):
        replace(settings, start=str(tmp_path))
    with pytest.raises(InvalidInput, match="has layers 1, not 2"):
        replace(settings, start=str(straight), layers=2)


def test_command_line_gives_settings() -> None:
    settings, data, out = read_arguments(
        ["--direction=en-de", "--seed=3", "--data=d", "--out=o", "--learning-rate=0.1"]
    )
    assert settings == Settings("en-de", seed=3, learning_rate=0.1)
    assert (data, out) == (Path("d"), Path("o"))


@pytest.mark.parametrize("wrong", [{"masking": 1.5}, {"epochs": 0}, {"width": 10}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="expected masking from 0 to 1"):
        Settings("de-en", **wrong)


def test_vocabulary_larger_than_the_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No vocabulary of 5000 pieces"):
        make_tokenizer([("eins", "one")], tmp_path, "de", "en", 5000)
