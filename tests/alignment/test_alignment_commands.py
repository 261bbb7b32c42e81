"""``normlens align`` and ``normlens aer`` as a user calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sentences import SOURCES, TARGETS
from typer.testing import Result

from normlens.alignment import Aligner, Extractor, Line, Reading, aligner, parse_links

Run = Callable[..., Result]
Texts = tuple[Path, Path]


def _expected(extractor: Extractor, layer: int) -> list[set[tuple[int, ...]]]:
    lines = [Line(k, *pair) for k, pair in enumerate(zip(SOURCES, TARGETS, strict=True))]
    return [{link[:2] for link in alignment.links} for alignment in Aligner(extractor, Reading(layer)).align(lines)]


def test_links_on_standard_output_and_nothing_else(
    run: Run, texts: Texts, marian_folder: Path, marian: Extractor
) -> None:
    result = run("align", *texts, "--model", marian_folder, "--layer", 1)

    assert result.exit_code == 0
    assert [parse_links(line).sure for line in result.stdout.splitlines()] == _expected(marian, 1)
    assert "Aligned 6 lines" in result.stderr


@pytest.mark.parametrize("form", ["pharaoh", "talp", "json"])
def test_what_is_written_can_be_judged(run: Run, texts: Texts, marian_folder: Path, form: str) -> None:
    run("align", *texts, "--model", marian_folder, "--layer", 0, "-o", "gold.txt", "--base", 1)
    run("align", *texts, "--model", marian_folder, "--layer", 0, "-o", "links.txt", "--format", form)

    result = run("aer", "gold.txt", "links.txt", "--json", "--source-file", texts[0], "--target-file", texts[1])

    assert json.loads(result.stdout)["aer"] == 0.0


def test_standard_input_with_lines_that_are_skipped(run: Run, marian_folder: Path) -> None:
    text = "das haus\tthe house\n\tno source\nno tab\nhund\tdog\n"
    result = run("align", "-", "--model", marian_folder, "--layer", 2, "--format", "json", stdin=text)

    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [record["line"] for record in records] == [1, 2, 3, 4]
    assert [record.get("skipped") for record in records] == [
        None, "source: the sentence is empty", "it has 0 tabs, not one between sentence and translation", None,
    ]  # fmt: skip
    assert records[0]["source"] == ["das", "haus"]
    assert "line 2 skipped: source: the sentence is empty" in result.stderr
    assert "2 of them skipped" in result.stderr


def test_two_models_choose_their_layers(run: Run, texts: Texts, marian_folder: Path, reverse_folder: Path) -> None:
    result = run(
        "align", *texts, "--model", marian_folder, "--reverse-model", reverse_folder, "--rule", "agreement",
        "--symmetrize", "grow-diag-final-and", "--format", "matrix",
    )  # fmt: skip

    assert result.exit_code == 0
    assert "by the rule agreement" in result.stderr
    matrix = json.loads(result.stdout.splitlines()[0])["matrix"]
    assert [len(matrix), len(matrix[0])] == [5, 6]
    assert sum(matrix[0]) == pytest.approx(1, abs=1e-3)


def test_both_settings_have_a_layer_each(run: Run, texts: Texts, marian_folder: Path) -> None:
    both = run(
        "align",
        *texts,
        "--model",
        marian_folder,
        "--setting",
        "both",
        "--layer",
        0,
        "--awo-layer",
        2,
        "--format",
        "matrix",
    )
    alone = [
        run("align", *texts, "--model", marian_folder, "--setting", setting, "--layer", layer, "--format", "matrix")
        for setting, layer in (("awi", 0), ("awo", 2))
    ]
    chosen = run("align", *texts, "--model", marian_folder, "--setting", "both")

    first, one, other = (json.loads(result.stdout.splitlines()[0])["matrix"] for result in (both, *alone))
    assert np.array(first) == pytest.approx((np.array(one) + np.array(other)) / 2, abs=2e-4)
    assert " beside " in chosen.stderr


def test_a_killed_run_goes_on(
    run: Run, texts: Texts, marian_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("normlens.alignment.aligner.WINDOW", 2)
    command = ("align", *texts, "--model", marian_folder, "--batch-size", 1)
    whole = run(*command).stdout
    lines = iter(whole.splitlines())
    written = 0

    def interrupted(*arguments: object) -> str:
        nonlocal written
        written += 1
        if written == 4:
            raise KeyboardInterrupt
        return next(lines)

    with monkeypatch.context() as patched:
        patched.setitem(aligner.FORMATS, "pharaoh", interrupted)
        assert run(*command, "-o", "links.txt").exit_code != 0
    assert not (tmp_path / "links.txt").exists()
    refused = run(*command, "-o", "links.txt", "--measure", "weight")
    assert refused.exit_code == 2
    assert "started with other settings" in refused.stderr

    result = run(*command, "-o", "links.txt")

    assert "Resuming after line 2" in result.stderr
    assert (tmp_path / "links.txt").read_text() == whole
    assert not (tmp_path / "links.txt.run").exists()
    again = run(*command, "-o", "links.txt")
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_a_page_with_links(run: Run, texts: Texts, marian_folder: Path, tmp_path: Path) -> None:
    result = run("align", *texts, "--model", marian_folder, "--layer", 0, "--view", "links.html")

    page = (tmp_path / "links.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 6
    assert page.count('class="link"') == sum(len(line.split()) for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "first"], "--layer"),
        (["--layer", "7"], "no layer 7"),
        (["--awo-layer", "2"], "--awo-layer has no effect here"),
        (["--setting", "both", "--layer", "0", "--awo-layer", "7"], "no layer 7"),
        (["--scope", "block"], "--scope is block; this command takes attention, residual or layernorm"),
        (["--layer", "0", "--head", "5"], "no head 5"),
        (["--layer", "0", "--scope", "residual", "--head", "0"], "norm of a single head"),
        (["--rule", "best"], "'best' is not one of"),
        (["--source-language", "de"], "has no languages"),
        (["-o", "no/folder/links.txt"], "no folder no/folder"),
        (["--view", "page.txt"], "expected one of .html"),
    ],
)
def test_bad_options_end_with_one_message_and_no_file(
    run: Run, texts: Texts, marian_folder: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    output = [] if "-o" in arguments else ["-o", "links.txt"]
    result = run("align", *texts, "--model", marian_folder, *output, *arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"text.de", "text.en"}


def test_texts_of_different_length_are_refused_before_a_model_is_opened(run: Run, texts: Texts, tmp_path: Path) -> None:
    texts[1].write_text("one line\n", encoding="utf-8")

    result = run("align", *texts, "--model", "no-such-model")

    assert result.exit_code == 2
    assert "has 6 lines" in result.stderr


def test_german_and_english_are_aligned_by_the_models_that_come_along(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.de").write_text("Das ist ein Haus .\nich habe gestern zwei Bücher gekauft .\n", encoding="utf-8")
    (tmp_path / "text.en").write_text("That is a house .\nI bought two books yesterday .\n", encoding="utf-8")

    result = run("align", "text.de", "text.en")

    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first == "0-0 1-1 2-2 3-3 4-4"
    assert {"0-0", "2-4", "3-2", "4-3", "6-5"} <= set(second.split())
    assert "using de-en and en-de" in result.stderr


def test_without_a_model_one_is_asked_for(run: Run, texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlens.alignment.defaults.DEFAULT_MODEL", None)
    result = run("align", *texts)

    assert result.exit_code == 2
    assert "--model" in result.stderr


def test_aer_as_a_table(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gold").write_text("1-1 2-2 2p3\n1-2\n1-1 2-2 1p2\n")
    (tmp_path / "links").write_text("0-0 1-2 1-0\n0-1\n0-1 1-0\n")

    result = run("aer", "gold", "links")

    assert result.exit_code == 0
    assert "45.5" in result.stdout
    assert "66.7" in result.stdout
    assert "3 sentence pairs, 6 links against 5 sure and 7 possible ones" in result.stdout


def test_aer_against_other_links(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gold").write_text("1-1 2-2\n" * 40)
    (tmp_path / "right").write_text("0-0 1-1\n" * 40)
    (tmp_path / "half").write_text("0-0\n" * 40)

    said = run("aer", "gold", "half", "--other", "right")
    answer = json.loads(run("aer", "gold", "right", "--other", "half", "--json").stdout)
    same = run("aer", "gold", "half", "--other", "half")

    assert "AER of half minus AER of right: +33.3 (+33.3 to +33.3); right is significantly better." in said.stdout
    assert answer["aer"] == 0.0
    assert answer["other"]["aer"] == pytest.approx(1 / 3)
    assert answer["difference"]["aer_interval"] == pytest.approx([-1 / 3, -1 / 3])
    assert "the difference is not significant" in same.stdout


@pytest.mark.parametrize(
    ("gold", "links", "arguments", "message"),
    [
        ("1-1\n1-x\n", "0-0\n0-0\n", [], "gold, line 2: '1-x' is not a link"),
        ("0-0\n", "0-0\n", [], "'0-0' has a word number below 1"),
        ("1-1\n", "0-0\n0-0\n", [], "has only 1 sentence pairs"),
        (
            "9-1\n" + "1-1\n" * 5,
            "\n" * 6,
            ["--source-file", "text.de", "--target-file", "text.en"],
            "line 1: the link 8-0",
        ),
        ("1-1\n", "0-0\n", ["--other", "nowhere"], "nowhere can't be read"),
        ("1-1\n", "0-0\n", ["--other", "text.de"], "is not a link"),
        ("1-1\n", "0-0\n", ["--source-file", "text.de"], "work together"),
        ("1-1\n", "0-0\n", ["--source-file", "text.de", "--target-file", "text.en"], "differ in length"),
    ],
)
def test_aer_of_files_that_do_not_fit(
    run: Run, texts: Texts, tmp_path: Path, gold: str, links: str, arguments: list[str], message: str
) -> None:
    (tmp_path / "gold").write_text(gold)
    (tmp_path / "links").write_text(links)

    result = run("aer", "gold", "links", *arguments)

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
