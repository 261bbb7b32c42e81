"""Texts that a model can't take among those that it can: cut or left out on request, and told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from architectures import tiny
from transformers import BertForSequenceClassification, MarianMTModel, PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

import normlens
from normlens.cli import app
from normlens.errors import InvalidInput

ROOM = 12


@pytest.fixture(scope="module")
def lens(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    config = tiny.configuration("bert")
    config.max_position_embeddings = ROOM
    torch.manual_seed(0)
    return normlens.load((BertForSequenceClassification._from_config(config), tokenizer))


@pytest.fixture(scope="module")
def folder(lens: normlens.Lens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short")
    lens.model.save_pretrained(path)
    lens.tokenizer.save_pretrained(path)
    return path


LONG = "the cat sat here . " * 8
TEXTS = ["the cat", LONG, "a dog", "", "the dog sat"]


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_text_is_cut_as_its_tokenizer_cuts_it(lens: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match="takes at most 12"):
        lens.analyze(LONG)
    analysis = lens.analyze(LONG, truncate=True)
    ids = lens.tokenizer(LONG, truncation=True, max_length=ROOM)["input_ids"]
    assert analysis["encoder"].data["source_id"].values.tolist() == ids
    np.testing.assert_allclose(analysis["encoder"].norm, lens.analyze(ids)["encoder"].norm, rtol=1e-6)
    assert analysis.attrs["truncated"] == len(lens.tokenizer(LONG)["input_ids"]) - ROOM
    assert "truncated" not in lens.analyze("the cat", truncate=True).attrs


def test_a_second_text_is_cut_but_never_left_out(lens: normlens.Lens) -> None:
    pair = {"text": "the cat", "text_pair": LONG}
    expected = lens.tokenizer("the cat", LONG, truncation="only_second", max_length=ROOM)
    analysis = lens.analyze(pair, truncate=True)
    assert analysis["encoder"].data["source_id"].values.tolist() == expected["input_ids"]
    with pytest.raises(InvalidInput, match="first text alone"):
        lens.analyze({"text": LONG, "text_pair": "a dog"}, truncate=True)


def test_both_sides_of_an_encoder_decoder_are_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    config = tiny.configuration("marian")
    config.max_position_embeddings = ROOM
    torch.manual_seed(0)
    lens = normlens.load((MarianMTModel._from_config(config), tokenizer))
    ids = tokenizer(LONG, truncation=True, max_length=ROOM)["input_ids"]
    cut, expected = lens.analyze(LONG, LONG, truncate=True), lens.analyze(ids, ids)
    np.testing.assert_allclose(cut["cross"].norm, expected["cross"].norm, rtol=1e-6)
    assert cut.attrs["truncated"] == 2 * (len(tokenizer(LONG)["input_ids"]) - ROOM)


def test_inputs_that_cannot_be_read_are_handed_over_with_their_numbers(lens: normlens.Lens) -> None:
    skipped: list[tuple[int, str]] = []
    analyses = list(lens.analyze(TEXTS, skip=skipped.append, progress=False))
    assert [analysis.attrs["text"] for analysis in analyses] == ["the cat", "a dog", "the dog sat"]
    assert [number for number, _ in skipped] == [1, 3]
    assert "takes at most 12" in skipped[0][1] and "is empty" in skipped[1][1]
    with pytest.raises(InvalidInput, match="there is only one"):
        lens.analyze("the cat", skip=skipped.append)


def test_every_text_keeps_its_own_target_when_others_are_left_out(lens: normlens.Lens) -> None:
    skipped: list[object] = []
    targets = [0, 1, 1, 0, 0]
    results = list(lens.attribute(TEXTS, target=targets, skip=skipped.append))
    expected = [lens.attribute(TEXTS[k], target=targets[k]) for k in (0, 2, 4)]
    assert len(results) == len(expected) and len(skipped) == 2
    for one, other in zip(results, expected, strict=True):
        assert one.attrs["target"] == other.attrs["target"]
        np.testing.assert_allclose(one.values, other.values, atol=1e-6)


def test_a_report_lists_what_was_left_out_and_cut(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("normlens.statistics.report.writing.report_figures", lambda table: {})
    Path("corpus.txt").write_bytes(f"the cat\n{LONG}\n\n\xff\na dog sat\n".encode("latin-1"))
    refused = command("report", folder, "corpus.txt", "--truncate")
    assert refused.exit_code == 2 and not Path("report").exists()
    left_out = command("report", folder, "corpus.txt", "--skip-bad", "-o", "one", "--json")
    answer = json.loads(left_out.stdout)
    first, second = answer["skipped"]
    assert first["line"] == 2 and "takes at most 12" in first["reason"]
    assert second == {"line": 4, "reason": "the line isn't UTF-8 (byte 1)"}
    assert (answer["texts"], answer["truncated"]) == (2, 0)
    assert "line 2 skipped: " in left_out.stderr and "2 lines skipped" in left_out.stderr
    assert "line 4 (the line isn&#39;t UTF-8 (byte 1))" in Path("one/report.html").read_text()
    cut = json.loads(command("report", folder, "corpus.txt", "--skip-bad", "--truncate", "-o", "two", "--json").stdout)
    assert ([line["line"] for line in cut["skipped"]], cut["texts"], cut["truncated"]) == ([4], 3, 1)
    assert pd.read_parquet("two/numbers.parquet")["n_texts"].max() == 3
    Path("bad.txt").write_text(f"{LONG}\n")
    none = command("report", folder, "bad.txt", "--skip-bad", "-o", "three")
    assert none.exit_code == 2 and "None of the first 100 rows" in none.stderr and not Path("three").exists()


def test_heads_are_clustered_over_what_can_be_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt").write_text(f"the cat\n{LONG}\na dog sat\n")
    Path("short.txt").write_text("the cat\na dog sat\n")
    assert command("cluster", "heads", folder, "corpus.txt").exit_code == 2
    ended = command("cluster", "heads", folder, "corpus.txt", "--skip-bad", "--json")
    expected = json.loads(command("cluster", "heads", folder, "short.txt", "--json").stdout)
    result = json.loads(ended.stdout)
    assert [line["line"] for line in result.pop("skipped")] == [2]
    assert expected.pop("skipped") == []
    assert result == expected
    assert "line 2 skipped" in ended.stderr
    assert command("cluster", "heads", folder, "corpus.txt", "--truncate").exit_code == 0
