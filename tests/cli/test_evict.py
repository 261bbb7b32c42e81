"""``normlens evict``: numbers beside those of the library, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import tiny
from invocation import Run
from transformers import BloomForCausalLM, PreTrainedTokenizerFast

import normlens
from normlens.topk.eviction import evict


def test_scores_are_compared_by_the_meter_and_by_a_run(decoder: Path, page: Path, run: Run) -> None:
    result = run("evict", decoder, page, "--keep", "40%", "--score", "norm,joint", "--tokens", 20, "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    lens = normlens.load(decoder)
    inside = lens.tokenizer(page.read_text(), add_special_tokens=False)["input_ids"][:18]
    ids = [lens.tokenizer.cls_token_id, *inside, lens.tokenizer.sep_token_id]
    for row, name in zip(answer["evictions"], ("norm", "joint"), strict=True):
        expected = evict(lens, torch.tensor(ids), keep=0.4, score=name)
        assert (row["score"], row["kept"]) == (name, 0.4)
        assert row["layer_error"] == pytest.approx(expected.layer_error, rel=1e-5)
        assert row["worst_heads"][0]["error"] == pytest.approx(expected.worst_heads(1)[0][-1], rel=1e-5)
        assert row["nll"] == pytest.approx(answer["loss"] + row["rise"], rel=1e-6)
    shown = run("evict", decoder, page, "--keep", "40%", "--score", "norm,joint", "--tokens", 20)
    assert "loss rise" in shown.stdout
    assert "The heads whose output changes most by" in shown.stdout


def test_keeping_everything_changes_nothing_and_masks_are_measured(
    decoder: Path, page: Path, tmp_path: Path, run: Run
) -> None:
    masks = np.ones((3, 2, 20), dtype=bool)
    np.save(tmp_path / "all.npy", masks)
    result = run("evict", decoder, page, "--mask", tmp_path / "all.npy", "--tokens", 20, "--json")
    assert result.exit_code == 0, result.stderr
    [row] = json.loads(result.stdout)["evictions"]
    assert (row["layer_error"], row["rise"], row["agreement"]) == (0, 0, 1)


def test_a_share_of_everything_loses_nothing(decoder: Path, page: Path, tmp_path: Path, run: Run) -> None:
    result = run("evict", decoder, page, "--keep", "100%", "--tokens", 20)
    assert result.exit_code == 0, result.stderr
    assert "Nothing is lost: the output of every head stays the same." in result.stdout
    assert "changes most" not in result.stdout
    masks = np.ones((3, 2, 20), dtype=bool)
    masks[1, 0, 5] = False
    np.save(tmp_path / "one.npy", masks)
    result = run("evict", decoder, page, "--mask", tmp_path / "one.npy", "--tokens", 20)
    listed = result.stdout.split("changes most by mask")[1].split("\n")
    assert {row.split()[0] for row in listed[2:] if row.strip()} == {"1"}, "only heads of the layer with a gap"


def test_a_hyphen_is_standard_input(decoder: Path, page: Path, run: Run) -> None:
    options = ("--score", "norm", "--tokens", 20)
    piped = run("evict", decoder, "-", *options, stdin=page.read_text())
    assert piped.exit_code == 0, piped.stderr
    shown = run("evict", decoder, page, *options).stdout
    assert piped.stdout == shown.replace("page.txt", "standard input")
    nothing = run("evict", decoder, "-", stdin=" \n")
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert "Standard input holds no text" in nothing.stderr


def test_a_text_of_one_token_is_refused(decoder: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "word.txt").write_text("the")
    result = run("evict", decoder, tmp_path / "word.txt")
    assert (result.exit_code, result.stdout) == (2, "")
    said = " ".join(result.stderr.replace("\n", " ").split())
    assert "The text has a single token, 'the'; expected at least two" in said
    assert "Use a longer text." in said


def test_a_model_that_cannot_be_run_without_pairs_is_measured(
    tokenizer: PreTrainedTokenizerFast, page: Path, tmp_path: Path, run: Run
) -> None:
    torch.manual_seed(0)
    BloomForCausalLM(tiny.configuration("bloom")).save_pretrained(tmp_path / "bloom")
    tokenizer.save_pretrained(tmp_path / "bloom")
    result = run("evict", tmp_path / "bloom", page, "--score", "norm", "--tokens", 12)
    assert result.exit_code == 0, result.stderr
    assert "computes attention inside its own modules" in result.stdout.replace("\n", " ")


REFUSED = [
    (["--keep", "0"], "--keep is '0'"),
    (["--keep", "150%"], "--keep is '150%'"),
    (["--keep", "nan"], "--keep is 'nan'"),
    (["--keep", "1%"], "leaves none"),
    (["--score", "wieght"], "weight"),
    (["--queries", "0"], "--queries"),
    (["--queries", "64"], "fewer than the 64 queries"),
    (["--score", "snapkv"], "snapkv reads the last 64 queries"),
    (["--mask", "wrong.npy"], "expected (head, source)"),
    (["--mask", "layers.npy"], "kept has 2 layers"),
    (["--mask", "grouped.npy"], "share keys and values"),
    (["--mask", "floats.npy"], "holds float64"),
    (["--mask", "nowhere.npy"], "nowhere.npy"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_what_is_refused(
    arguments: list[str],
    said: str,
    decoder: Path,
    page: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("wrong.npy", np.ones((3, 2, 9), dtype=bool))
    np.save("layers.npy", np.ones((2, 2, 20), dtype=bool))
    np.save("floats.npy", np.ones((3, 2, 20)))
    grouped = np.ones((3, 4, 20), dtype=bool)
    grouped[0, 1, 4] = False
    np.save("grouped.npy", grouped)
    result = run("evict", decoder, page, "--tokens", 20, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr


def test_an_encoder_keeps_no_keys(tokenizer: PreTrainedTokenizerFast, page: Path, tmp_path: Path, run: Run) -> None:
    tiny.build("bert").save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    result = run("evict", tmp_path / "bert", page, "--tokens", 12)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "keeps no keys and values" in result.stderr.replace("\n", " ")
