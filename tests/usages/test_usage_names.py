"""Names and labels as they come: control characters, formulas, letters of no encoding; on the terminal and in pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from architectures import tiny
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from normlens import figures
from normlens.alignment import Alignment, Link, write_links_page
from normlens.cli import app

Run = Callable[..., Result]
ODD = ["$x_{", "\x1b[31mred\x07", "a\x00b\x85\x9bc", "[bold]b[/] <b>&", "$\\frac{1}{2}$\u202e", "\ud800"]
NAMES = ["$x_{.npy", "\x1b[31mred.npy", "[bold].npy", os.fsdecode(b"\xff\xfe.npy"), "a\nb.npy", "'\"<&.npy"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def clean(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_may_be_called_whatever_the_file_system_takes(name: str, run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", np.array([[0.0], [1.0], [10.0], [11.0]]))
    (tmp_path / "plain.npy").rename(tmp_path / name)
    outputs = [name.replace(".npy", ending) for ending in (".json", ".svg")]
    result = run("cluster", "points", name, "--alpha", 5, "-o", outputs[0], "--figure", outputs[1])
    assert result.exit_code == 0
    assert clean(result.output)
    ElementTree.parse(tmp_path / outputs[1])
    assert sorted(os.listdir(tmp_path)) == sorted([name, *outputs])


def test_a_class_may_be_called_anything(run: Run, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    for k, label in enumerate(ODD[:-1]):
        folder = tmp_path / f"model{k}"
        labels = {0: label, 1: "other"}
        config = tiny.configuration("bert")
        config.id2label, config.label2id = labels, {name: number for number, name in labels.items()}
        BertForSequenceClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        ask = ("attribute", folder, "the cat sat.", "-m", "gradient_input", "--target", "0")
        shown = run(*ask)
        assert shown.exit_code == 0
        assert clean(shown.stdout)
        assert run(*ask, "-o", f"{k}.svg").exit_code == run(*ask, "-o", f"{k}.html").exit_code == 0
        ElementTree.parse(tmp_path / f"{k}.svg")
        assert clean((tmp_path / f"{k}.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("label", ODD)
def test_pictures_show_odd_names_as_they_are_written(label: str, tmp_path: Path) -> None:
    matrix = np.array([[0.0, 1, 9], [1, 0, 9], [9, 9, 0]])
    for suffix in ("svg", "pdf", "png"):
        picture = figures.cluster_map(matrix, [0, 0, 1], names=[label] * 3, title=label, unit=label, kinds=[label] * 2)
        path = figures.save(picture, tmp_path / f"map.{suffix}")
        assert path.stat().st_size > 0
    text = "".join(ElementTree.parse(tmp_path / "map.svg").getroot().itertext())
    assert "$x_{" in text or label != "$x_{"


def test_pages_forbid_themselves_to_load_anything(tmp_path: Path) -> None:
    from importlib import resources

    pair = Alignment(1, ("\x1b[31m<b>",), ("$x_{",), (Link(0, 0),), np.ones((1, 1)))
    page = write_links_page([pair], tmp_path / "links.html", "\x1b<i>").read_text(encoding="utf-8")
    assert clean(page)
    assert "<b>" not in page and "<i>" not in page
    report = (
        resources.files("normlens.statistics.report")
        .joinpath("templates", "report.html.jinja")
        .read_text(encoding="utf-8")
    )
    for one in (page, report):
        head = one[: one.index("<title>")]
        assert "Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'" in " ".join(
            head.split()
        )
