"""``normlens translation`` on tiny texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from invocation import Run

from normlens.cli.language_pairs import languages_of, recipe_settings, text_files
from normlens.errors import InvalidInput

SIZES = ["epochs=0.5", "positions=100", "pieces=60", "width=16", "layers=1", "heads=2"]
TINY = [argument for size in SIZES for argument in ("--recipe", size)]
NUMBERS = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "fünf": "five"}


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    """125 sentences of three numbers, sides separated by a tab."""
    words = [(a, b, c) for a in NUMBERS for b in NUMBERS for c in NUMBERS]
    lines = [f"{' '.join(three)}.\t{' '.join(NUMBERS[w] for w in three)}.\n" for three in words]
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_both_directions_are_trained_and_their_folders_printed(counting: Path, run: Run) -> None:
    command = ["translation", "train", counting, "--out", "models", "--both", "--tokenize", "de-en", *TINY]
    result = run(*command)
    assert (result.exit_code, result.stdout.splitlines()) == (0, ["models/de-en", "models/en-de"])
    assert "measured on a few steps" in result.stderr and "Writing model shards" not in result.stderr
    again = run(*command)
    assert (again.stdout, again.stderr) == (result.stdout, "")
    other = run(*command, "--recipe", "seed=2")
    assert other.exit_code == 2
    assert "holds another training: recipe was" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("pairs.tsv missing.en", "missing.en can't be read"),
        ("short.tsv", "2 pairs are left to train on, of 2 lines"),
        ("empty.tsv", "empty.tsv is empty"),
        ("-", "Standard input can be read only once"),
        ("pairs.tsv --recipe width", "--recipe width sets nothing; expected NAME=VALUE"),
        ("pairs.tsv --recipe width=wide", "--recipe width=wide: expected an integer"),
        ("pairs.tsv --recipe heads=7", "multiple of twice the heads"),
        ("pairs.tsv --more-text a,b,c", "names 3 files"),
        ("pairs.tsv --device quantum", "can't be trained on 'quantum'"),
        ("pairs.tsv --tokenize de-xx", "There are rules for"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    arguments: str, message: str, counting: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "short.tsv").write_text("eins\tone\nzwei\ttwo\n")
    (tmp_path / "empty.tsv").write_text("")
    result = run("translation", "train", *arguments.split(), "--out", "models")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not (tmp_path / "models").exists()


def test_languages_are_named_by_options_or_files() -> None:
    def languages(*names: str, tokenize: str | None = None, source: str | None = None) -> tuple[str, str]:
        files = [(Path(names[0]), Path(names[1]) if names[1:] else None)]
        return languages_of(files, tokenize, source, None)

    assert languages("a.de", "a.fr") == ("de", "fr")
    assert languages("a.de", "a.fr", source="deu") == ("deu", "fr")
    assert languages("a.tsv") == languages("a.txt", "b.txt") == ("source", "target")
    assert languages("a.tsv", tokenize="de-fr") == ("de", "fr")


def test_further_files_are_pairs_or_have_both_sides(tmp_path: Path) -> None:
    comma = tmp_path / "a,b.tsv"
    comma.touch()
    assert text_files(Path("x"), None, ["c.tsv", "c.de,c.fr", str(comma)]) == [
        (Path("x"), None), (Path("c.tsv"), None), (Path("c.de"), Path("c.fr")), (comma, None),
    ]  # fmt: skip


def test_settings_have_the_types_of_the_recipe() -> None:
    settings = recipe_settings(["epochs=2", "width=64", "guide=eflomal"])
    assert settings == {"epochs": 2.0, "width": 64, "guide": "eflomal"}
    assert isinstance(settings["epochs"], float)
    with pytest.raises(InvalidInput, match="expected a number"):
        recipe_settings(["epochs=two"])
