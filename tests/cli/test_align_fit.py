"""``normlens align --fit``: a text aligned by models that were trained on it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from invocation import Run

from normlens.bitext.eflomal import PROGRAM

NUMBERS = {"eins": "un", "zwei": "deux", "drei": "trois", "vier": "quatre", "fünf": "cinq"}
SIZES = ("epochs=0.5", "positions=100", "pieces=60", "width=16", "layers=2", "heads=2")
TINY = [argument for size in SIZES for argument in ("--recipe", size)]
DIAGONAL = """#!{python}
import sys
files = dict(zip(sys.argv[2::2], sys.argv[3::2]))
for name in ("-f", "-r"):
    with open(files["-s"]) as source, open(files[name], "w") as links:
        links.writelines(" ".join(f"{{k}}-{{k}}" for k in range(len(line.split()))) + "\\n" for line in source)
"""


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    """125 sentences of three numbers in two languages, and an empty line."""
    words = [(a, b, c) for a in NUMBERS for b in NUMBERS for c in NUMBERS]
    source, target = tmp_path / "text.de", tmp_path / "text.fr"
    source.write_text("\n" + "".join(f"{' '.join(three)}\n" for three in words), encoding="utf-8")
    target.write_text("\n" + "".join(f"{' '.join(NUMBERS[w] for w in three)}\n" for three in words), encoding="utf-8")
    return source, target


@pytest.fixture
def without_eflomal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder as the path of programs."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("normlens.bitext.eflomal.SCRIPTS", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_one_command_trains_both_directions_and_aligns(
    texts: tuple[Path, Path], run: Run, without_eflomal: Path
) -> None:
    program = without_eflomal / PROGRAM
    program.write_text(DIAGONAL.format(python=sys.executable))
    program.chmod(0o755)
    result = run("align", *texts, "--fit", "models", *TINY)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 126 and lines[0] == "" and "line 1 skipped" in result.stderr
    estimate, linking, training = (
        result.stderr.index(text)
        for text in ("measured on a few steps", "Linking the words by eflomal", "de→fr: training")
    )
    assert estimate < linking < training
    assert "Choosing the layer" not in result.stderr  # the one that was trained to align
    program.unlink()
    again = run("align", *texts, "--fit", "models", *TINY, "-o", "links.txt")
    assert Path("links.txt").read_text() == result.stdout
    assert "training" not in again.stderr
    by_hand = run("align", *texts, "--model", "models/de-fr", "--reverse-model", "models/fr-de", "--layer", 0)
    assert by_hand.stdout == result.stdout


def test_without_eflomal_it_says_so_and_a_training_without_guide_chooses_the_layer(
    texts: tuple[Path, Path], run: Run, without_eflomal: Path
) -> None:
    refused = run("align", *texts, "--fit", "models", *TINY)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "eflomal-align isn't installed" in refused.stderr and "--guide none" in refused.stderr
    assert not Path("models").exists()
    result = run("align", *texts, "--fit", "models", "--guide", "none", *TINY)
    assert result.exit_code == 0
    assert "Layers" in result.stderr and "by the rule combined" in result.stderr
    other = run("align", *texts, "--fit", "models", "--guide", "none", *TINY[2:])
    assert other.exit_code == 2 and "holds another training" in other.stderr


def test_texts_that_differ_in_length_are_refused_before_the_training(texts: tuple[Path, Path], run: Run) -> None:
    texts[1].write_text("un\n")
    result = run("align", *texts, "--fit", "models", "--guide", "none")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "has 126 lines and" in result.stderr
    assert not Path("models").exists()
