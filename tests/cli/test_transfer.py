"""``normlens transfer`` on tiny texts: a child of a bundled model is trained, used, merged, and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from invocation import Run

import normlens
from normlens import transfer
from normlens.translation import TrainingText

NUMBERS = {"un": "one", "deux": "two", "trois": "three", "quatre": "four", "cinq": "five"}
TINY = ["--recipe", "epochs=1", "--recipe", "pieces=50"]


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    """125 sentences of three numbers, sides separated by a tab."""
    words = [(a, b, c) for a in NUMBERS for b in NUMBERS for c in NUMBERS]
    lines = [f"{' '.join(three)} .\t{' '.join(NUMBERS[w] for w in three)} .\n" for three in words]
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A child from French to English, trained once."""
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "pairs.tsv"
    pairs = [
        (f"{a} {b} {c} .", f"{NUMBERS[a]} {NUMBERS[b]} {NUMBERS[c]} .")
        for a in NUMBERS
        for b in NUMBERS
        for c in NUMBERS
    ]
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    text = TrainingText([(path, None)], "fr", "en")
    transfer.train(normlens.load("de-en"), text, folder / "child", epochs=1, pieces=50)
    return folder / "child"


@pytest.fixture
def child(trained_once: Path, tmp_path: Path) -> str:
    """A copy of the child, in this test's folder."""
    shutil.copytree(trained_once, tmp_path / "child")
    return "child/fr-en"


def test_a_child_is_trained_and_its_folder_printed(counting: Path, run: Run) -> None:
    options = ["--source-language", "fr", "--target-language", "en", "--out", "child", *TINY]
    result = run("transfer", "train", "de-en", counting, *options)
    assert (result.exit_code, result.stdout) == (0, "child/fr-en\n"), result.stderr
    lines = result.stderr.splitlines()
    said = next(k for k, line in enumerate(lines) if line.startswith("src+xattn (Gheini et al. 2021): "))
    assert any(line == "  cross-attention: 445,824 trained" for line in lines[said:])
    assert any("measured on a few steps" in line for line in lines[said:])
    again = run("transfer", "train", "de-en", counting, *options)
    assert again.stdout == result.stdout and "training" not in again.stderr


def test_a_child_translates_is_scored_and_merged(child: str, counting: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.fr").write_text("un deux trois .\n\ncinq .\n", encoding="utf-8")
    shown = run("transfer", "translate", "de-en", child, "text.fr", "--beams", "1")
    assert shown.exit_code == 0 and len(shown.stdout.splitlines()) == 3
    assert shown.stdout.splitlines()[1] == ""
    written = run("transfer", "translate", "de-en", child, "text.fr", "--beams", "1", "-o", "text.en")
    assert written.stdout == "" and "Wrote text.en" in written.stderr
    assert (tmp_path / "text.en").read_text() == shown.stdout
    scored = run("transfer", "evaluate", "de-en", child, counting, "--json", "--tokenized")
    scores = json.loads(scored.stdout)
    assert (scores["sentences"], scores["truncated"]) == (125, 0)
    parents = run("transfer", "evaluate", "de-en", child, counting, "--json", "--tokenized", "--parent-pair")
    assert json.loads(parents.stdout)["bleu"] != scores["bleu"]
    merged = run("transfer", "merge", "de-en", child, "complete")
    assert merged.stdout == "complete\n"
    again = run("translation", "evaluate", "complete", counting, "--json", "--tokenized")
    assert json.loads(again.stdout) == scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "translate de-en child text.fr",
            "child holds no delta: manifest.json can't be read (No such file or directory)",
        ),
        ("translate minilm-l6 child/fr-en text.fr", "belongs to another parent"),
        ("translate de-en child/fr-en none.fr", "none.fr can't be read"),
        ("translate de-en child/fr-en blank.fr", "blank.fr holds no text; expected one sentence per line"),
        (
            "translate de-en child/fr-en text.fr --source-child child/fr-en",
            "expected a child with a new target language",
        ),
        ("translate de-en child/fr-en text.fr -o text.fr", "text.fr"),
        ("merge de-en child/fr-en child", "child exists already"),
        ("evaluate de-en child/fr-en pairs.tsv --beams 0", "--beams"),
        ("train de-en pairs.tsv --out child --trained src", "holds another training"),
    ],
)
def test_bad_input_is_refused(
    child: str, counting: Path, arguments: str, message: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "text.fr").write_text("un deux trois .\n", encoding="utf-8")
    (tmp_path / "blank.fr").write_text("\n \n", encoding="utf-8")
    named = ["--source-language", "fr", "--target-language", "en"] if arguments.startswith("train") else []
    result = run("transfer", *arguments.split(), *named)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("pairs.tsv --trained src+xat", "There is no setting 'src+xat'"),
        ("pairs.tsv --recipe width=3", "--recipe width=3 sets nothing"),
        ("pairs.tsv none.en", "none.en can't be read"),
        ("-", "Standard input can be read only once"),
        ("pairs.tsv --device quantum", "can't be trained on 'quantum'"),
    ],
)
def test_a_training_is_refused_and_nothing_is_written(
    arguments: str, message: str, counting: Path, run: Run, tmp_path: Path
) -> None:
    result = run("transfer", "train", "de-en", *arguments.split(), "--out", "child")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not (tmp_path / "child").exists()


def test_a_model_that_does_not_translate_has_no_children(counting: Path, run: Run, tmp_path: Path) -> None:
    result = run("transfer", "train", "minilm-l6", counting, "--out", "child")
    assert result.exit_code == 2
    assert "is no encoder–decoder for text; expected a translation model" in result.stderr
    assert not (tmp_path / "child").exists()
