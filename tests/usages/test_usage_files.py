"""Files as people name them: results on top of sources, links, folders, pipes, and names that are hard to write."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from architectures import tiny
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from normlens.cli import app

Run = Callable[..., Result]
LOST = "nobody/no-such-model"
FOUR = np.array([[0.0], [1.0], [10.0], [11.0]])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """A command in a folder with two texts, four points, and links to one of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.de").write_text("das haus\n")
    (tmp_path / "b.en").write_text("the house\n")
    np.save("four.npy", FOUR)
    os.link("c.de", "hard.de")
    os.symlink("c.de", "soft.html")
    os.mkfifo("pipe.csv")

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture(scope="module")
def bert(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    tiny.build("bert").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


POINTS = ("cluster", "points", "four.npy", "--alpha", 5)
ALIGN = ("align", "c.de", "b.en", "--model", LOST)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*ALIGN, "-o", "c.de", "--overwrite"), "The output c.de is c.de, which this command reads"),
        ((*ALIGN, "-o", "./../{here}/b.en", "--overwrite"), "b.en, which this command reads"),
        ((*ALIGN, "-o", "hard.de", "--overwrite"), "The output hard.de is c.de, which this command reads"),
        ((*ALIGN, "-o", "soft.html", "--overwrite"), "The output soft.html is c.de, which this command reads"),
        ((*ALIGN, "--view", "soft.svg.html", "--overwrite"), "soft.svg.html is a symbolic link"),
        ((*ALIGN, "--view", "other.html"), "other.html exists already"),
        ((*ALIGN, "-o", "v.html", "--view", "v.html"), "are the same file"),
        ((*ALIGN, "-o", "v.html", "--view", "./v.html", "--overwrite"), "are the same file"),
        ((*ALIGN, "-o", "."), "is a folder"),
        ((*ALIGN, "-o", "-"), "names no file"),
        ((*ALIGN, "-o", "pipe.csv", "--overwrite"), "is a pipe or a device"),
        ((*ALIGN, "-o", "/dev/null", "--overwrite"), "is a pipe or a device"),
        ((*ALIGN, "-o", "a" * 253), "File name too long"),
        ((*ALIGN, "-o", "nowhere/c"), "no folder nowhere"),
        ((*POINTS, "-o", "four.csv"), "four.csv exists already"),
        ((*POINTS, "--figure", "soft.svg", "--overwrite"), "symbolic link"),
        ((*POINTS, "-o", "pipe.csv", "--overwrite"), "is a pipe or a device"),
        ((*POINTS, "-o", "-"), "names no file"),
        ((*POINTS, "-o", "."), "expected one of .csv, .json"),
        ((*POINTS, "-o", "a" * 300 + ".csv"), "File name too long"),
        ((*POINTS, "--overwrite"), "--overwrite has no effect"),
        (("analyze", LOST, "the cat", "-o", "other.html"), "other.html exists already"),
        (("analyze", LOST, "-f", "c.json", "-o", "./c.json", "--overwrite"), "c.json, which this command reads"),
        (
            ("analyze", "{bert}", "the cat", "-o", "{bert}/config.json", "--overwrite"),
            "config.json, which this command reads",
        ),
        (("attribute", LOST, "the cat", "-o", "other.html"), "other.html exists already"),
        (("compare", LOST, "the cat", "-o", "-"), "names no file"),
        (("report", LOST, "c.de", "-o", "-"), "names no file"),
        (("report", LOST, "c.de", "-o", "c.de"), "is a file"),
        (("report", LOST, "c.de", "-o", "soft.html/x"), "is a file"),
        (("report", LOST, "c.de", "-o", "a" * 300), "File name too long"),
        (("report", LOST, "c.de", "-o", "done"), "'done' holds a report already"),
        (("report", LOST, "done/report.md", "-o", "done", "--overwrite"), "report.md, which this command reads"),
        (("demo", "-o", "shown"), "'shown/minilm-l6' holds a report already"),
    ],
)
def test_a_result_that_would_take_a_file_of_somebody_is_refused_and_nothing_changes(
    arguments: tuple[object, ...], message: str, run: Run, bert: Path, tmp_path: Path
) -> None:
    for name in (".c.unfinished", "c.json", "other.html", "four.csv"):
        (tmp_path / name).write_text("das haus\n")
    for name in ("soft.svg", "soft.svg.html"):
        (tmp_path / name).symlink_to("nowhere")
    for place in ("done", "shown/minilm-l6"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "numbers.parquet").touch()
        (tmp_path / place / "report.md").write_text("the cat\n")
    before, model = contents(tmp_path), contents(bert)

    result = run(*(str(a).format(here=tmp_path.name, bert=bert) if isinstance(a, str) else a for a in arguments))

    said = " ".join(result.stderr.split())
    assert (result.exit_code, result.stdout, message in said) == (2, "", True), said
    assert "Loading" not in said
    assert (contents(tmp_path), contents(bert)) == (before, model)


def test_what_is_there_is_replaced_with_overwrite_and_other_links_to_it_keep_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "who.csv").write_text("old")
    os.link(tmp_path / "who.csv", tmp_path / "backup.csv")
    assert run(*POINTS, "-o", "who.csv", "--overwrite").exit_code == 0
    assert (tmp_path / "who.csv").read_text().startswith("point,cluster")
    assert (tmp_path / "backup.csv").read_text() == "old"


@pytest.mark.parametrize("command", [("analyze",), ("attribute", "-m", "norm_rollout")])
def test_analyses_and_attributions_follow_the_rule(
    command: tuple[str, ...], run: Run, bert: Path, tmp_path: Path
) -> None:
    ask = (*command, bert, "the cat", "-o", "page.html")
    assert run(*ask).exit_code == 0
    page = (tmp_path / "page.html").read_text()
    (tmp_path / "page.html").write_text("mine")
    assert run(*ask).exit_code == 2
    assert (tmp_path / "page.html").read_text() == "mine"
    assert run(*ask, "--overwrite").exit_code == 0
    assert (tmp_path / "page.html").read_text()[:200] == page[:200]


def test_a_report_is_replaced_with_overwrite_alone(
    run: Run, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("normlens.statistics.report.writing.report_figures", lambda table: {})
    monkeypatch.setattr("normlens.statistics.report.writing._example_figures", lambda numbers, examples: {})
    (tmp_path / "corpus.txt").write_text("the cat sat.\na dog ran here.\n")
    ask = ("report", bert, "corpus.txt", "-o", "page")
    assert run(*ask).exit_code == 0
    (tmp_path / "page" / "report.html").write_text("mine")
    assert "holds a report already" in run(*ask).stderr
    assert (tmp_path / "page" / "report.html").read_text() == "mine"
    assert run(*ask, "--overwrite").exit_code == 0
    assert (tmp_path / "page" / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_standard_input_from_a_file_is_read_too(run: Run, tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "pairs.tsv").write_text("das haus\tthe house\n")
    script = "from normlens.cli import main; main()"
    with (tmp_path / "pairs.tsv").open() as pairs:
        done = subprocess.run(
            [sys.executable, "-c", script, "align", "-", "--model", LOST, "-o", "pairs.tsv", "--overwrite"],
            stdin=pairs, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "pairs.tsv is standard input, which this command reads" in " ".join(done.stderr.split())
    assert (tmp_path / "pairs.tsv").read_text() == "das haus\tthe house\n"


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "links").write_text("1-1\n")
    os.mkfifo("pipe.npy")
    for arguments in (
        ("align", "pipe.csv", "b.en", "--model", LOST), ("align", "pipe.csv", "--model", LOST), ("aer", "pipe.csv", "links"),
        ("aer", "links", "pipe.csv"), ("analyze", LOST, "-f", "pipe.csv"), ("report", LOST, "pipe.csv", "-o", "page"),
        ("cluster", "heads", LOST, "pipe.csv"), ("cluster", "points", "pipe.npy"), ("topk", LOST, "pipe.csv"),
        ("align", "/dev/zero", "b.en", "--model", LOST), ("analyze", LOST, "-f", "/dev/zero"), ("aer", "/dev/zero", "links"),
        ("aer", "links", "links", "--source-file", "pipe.csv", "--target-file", "b.en"), ("report", LOST, "/dev/zero"),
    ):  # fmt: skip
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert "pipe" in result.stderr or "a device" in result.stderr, result.stderr


def test_what_a_shell_substitutes_is_read_once_or_refused(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "links").write_text("0-0\n1-1\n")
    command = f"{sys.executable} -c 'from normlens.cli import main; main()'"
    for arguments, code, said in (
        ("aer <(cat links) <(cat links) --gold-base 0 --hyp-base 0 --json", 0, '"aer": 0.0'),
        (f"align <(echo das haus) <(echo the house) --model {LOST}", 2, "read only once"),
    ):
        done = subprocess.run(
            ["bash", "-c", f"{command} {arguments}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        assert said in done.stdout + done.stderr


def test_tables_that_are_none_are_refused_before_they_fill_the_memory(run: Run, tmp_path: Path) -> None:
    import pandas as pd

    for name, array in {
        "scalar": np.array(3.0), "row": np.arange(4.0), "cube": np.zeros((2, 2, 2)), "text": np.array([["a"], ["b"]]),
        "complex": np.zeros((3, 2), complex), "dates": np.zeros((3, 1), "M8[s]"), "records": np.zeros(3, [("a", "f8")]),
        "nothing": np.zeros((0, 3)), "none": np.zeros((3, 0)), "one": np.zeros((1, 1)),
    }.items():  # fmt: skip
        np.save(f"{name}.npy", array)
    np.savez("archive", np.zeros((3, 2)))
    Path("archive.npz").rename("archive.npy")
    np.save("objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    whole = Path("four.npy").read_bytes()
    Path("huge.npy").write_bytes(whole.replace(b"(4, 1), }" + b" " * 12, b"(400000000000, 1), } "))
    Path("cut.npy").write_bytes(whole[:-8])
    Path("header.npy").write_bytes(whole[:40])
    with Path("sparse.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 30, 1)})
        file.truncate(file.tell() + (8 << 30))
    pd.DataFrame({"a": np.zeros(200_000_000, np.int8)}).to_parquet("packed.parquet")
    Path("broken.parquet").write_bytes(Path("packed.parquet").read_bytes()[:-30])
    before = set(tmp_path.iterdir())
    for path in sorted(before):
        if path.suffix in (".npy", ".parquet") and path.name not in ("four.npy",):
            result = run("cluster", "points", path.name)
            assert (result.exit_code, result.stdout) == (2, ""), path
            assert "normlens: " in result.stderr
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("cluster", "points", "four.npy", "--seed", "9" * 24),
        ("topk", LOST, "c.de", "--by", "random", "--seed", "9" * 24),
        ("attribute", LOST, "the cat", "-m", "integrated_gradients", "--option", "steps=1000000000"),
        ("attribute", LOST, "the cat", "-m", "decompx", "--option", "steps=1000000000"),
        ("attribute", LOST, "the cat", "-m", "integrated_gradients", "--option", "steps=1e400"),
        ("attribute", LOST, "the cat", "-m", "integrated_gradients", "--option", "tolerance=NaN"),
        ("attribute", LOST, "the cat", "-m", "integrated_gradients", "--option", "steps=" + "[" * 100_000),
        ("attribute", LOST, "the cat", "-m", "integrated_gradients", "--option", "steps=" + "9" * 5000),
    ],
)  # fmt: skip
def test_numbers_out_of_all_proportion_are_refused(arguments: tuple[str, ...], run: Run, bert: Path) -> None:
    result = run(*(str(bert) if a == LOST else a for a in arguments))
    assert (result.exit_code, result.stdout) == (2, ""), result.output
