"""The alignment script run for real on tiny models of two directions, and the numbers that its page takes from parts."""

import json
from pathlib import Path

import pytest

from normlens.errors import InvalidInput
from reproduce.alignment import eflomal as alignment_eflomal
from reproduce.alignment import page as alignment_page
from reproduce.alignment import table as alignment_table
from reproduce.data.german_english import annotated_files, normalized, read_pairs, write_corpora
from reproduce.training import translation as train_translation

WORDS = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "fünf": "five"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Counting in two languages, with three annotated sentences that are not in the text."""
    folder = tmp_path_factory.mktemp("data")
    parallel, gold = folder / "deen" / "parallel", folder / "deen" / "gold"
    parallel.mkdir(parents=True)
    gold.mkdir()
    lines = [
        f"{WORDS[a]} {WORDS[b]} {WORDS[c]} .\t{a} {b} {c} .\n" for a in WORDS for b in WORDS for c in WORDS if a != c
    ]
    (parallel / "tatoeba.en-de.tsv").write_text("".join(lines), encoding="utf-8")
    (gold / "test.de").write_text("eins zwei eins .\nzwei drei zwei .\nvier eins vier .\n", encoding="utf-8")
    (gold / "test.en").write_text("one two one .\ntwo three two .\nfour one four .\n", encoding="utf-8")
    (gold / "alignment.talp").write_text("1-1 2-2 3-3 4-4\n" * 3, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(train_translation, "HELD_OUT", 6)
    monkeypatch.setattr("normlens.translation.preparation.FEWEST", 50)
    sizes = {"epochs": 1, "positions": 100, "pieces": 45, "width": 16, "layers": 2, "heads": 2, "warmup": 2}
    options = [f"--{name}={value}" for name, value in sizes.items()]
    assert train_translation.main([f"--data={data}", f"--out={folder}", *options]) == 0
    monkeypatch.undo()
    return [folder]


def test_every_part_is_kept_and_laid_out(
    runs: list[Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def straight(source: Path, target: Path, ahead: Path, back: Path) -> None:
        lines = [" ".join(f"{k}-{k}" for k in range(len(line.split()))) for line in source.read_text().splitlines()]
        for path in (ahead, back):
            path.write_text("\n".join(lines) + "\n")

    monkeypatch.setattr(alignment_eflomal, "link_files", straight)
    monkeypatch.setattr(alignment_table, "RESAMPLES", 20)
    status = alignment_table.main(["--data", str(data), "--output", str(tmp_path), "--runs", *map(str, runs)])
    assert status == 0
    kept = json.loads((tmp_path / "alignment" / "result.json").read_text(encoding="utf-8"))
    names = {"model de-en-tiny", "model en-de-tiny", "curve de-en-tiny", "curve en-de-tiny", "eflomal free"}
    names |= {"directions de-en-tiny en-de-tiny", "ways de-en-tiny", "ways de-en-tiny en-de-tiny"}
    assert set(kept) == names
    assert all(row["aer"] == 0 for row in kept["eflomal free"]["tables"][0])  # its links are the annotated ones
    table = kept["model de-en-tiny"]["table"]
    assert len(table) == 2 * 2 * 2 * (1 + 2)  # layers, measures, settings, all heads and each alone
    assert {row["how"] for row in kept["directions de-en-tiny en-de-tiny"]["table"]} >= {
        "one direction",
        "grow-diag",
        "union",
    }
    assert [point["pairs"] for point in kept["curve de-en-tiny"]["points"]][-1] == kept["model de-en-tiny"]["training"][
        "text"
    ]["training"]
    readings = kept["ways de-en-tiny en-de-tiny"]
    distances = [row["distance"] for row in readings["ways"]]
    assert (
        next(row for row in readings["ways"] if row["distance"] == min(distances))["aer"] == readings["chosen"]["aer"]
    )
    page = capsys.readouterr().out
    for marker in ("ways", "paper", "differences", "models", "rules", "heads", "directions", "curve"):
        assert f"[start:{marker}]" in page
    assert (tmp_path / "alignment" / "layers_unguided.svg").exists()
    assert (tmp_path / "alignment" / "curve.svg").exists()


def test_the_page_beside_the_paper_takes_means_over_layers_and_the_layer_of_the_rule() -> None:
    def row(layer: int, measure: str, setting: str, aer: float) -> dict[str, object]:
        return {"layer": layer, "measure": measure, "setting": setting, "head": None, "aer": aer}

    rows = [row(k, m, s, 10.0 * k + (m == "norm")) for k in (1, 2) for m in ("weight", "norm") for s in ("awi", "awo")]
    rules = {"norm": [0.1, 0.2], "combined": [0.1, 0.2], "self-agreement": [0.1, 0.2]}
    study = {"table": [{**r, "layer": int(str(r["layer"])) - 1} for r in rows], "rules": {"awi": rules, "awo": rules}}
    rows = alignment_page._beside_paper([study])
    assert ["AWI", "norm", "layer mean", "60.5", "16.0"] in rows
    assert ["AWI", "norm", "best layer", "25.0", "11.0"] in rows
    assert ["AWI", "norm", "layer of highest norm", "25.0", "21.0"] in rows
    assert ["AWI", "weight", "best layer", "29.8", "10.0"] in rows


def test_missing_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert alignment_table.main(["--data", str(tmp_path), "--output", str(tmp_path), "--runs", str(tmp_path)]) == 2
    assert "alignment.talp is missing" in capsys.readouterr().err


def test_corpora_are_normalized_as_moses_does_and_lowercased(data: Path, tmp_path: Path) -> None:
    pair = ("Das ist's, „Haus & Hof“!", "It's the president's, isn't it?")
    assert list(normalized([pair], tokenized=False)) == [
        ("das ist ' s , „ haus & hof “ !", "it 's the president 's , isn 't it ?")
    ]
    assert list(normalized([("A'b  C", "D.E")], tokenized=True)) == [("a'b c", "d.e")]
    ((german, _),) = write_corpora(data, "free", tmp_path, limit=3)
    assert german.read_text().splitlines() == ["eins eins zwei .", "eins eins drei .", "eins eins vier ."]


def test_malformed_corpora_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"test\.de is missing"):
        annotated_files(tmp_path)
    with pytest.raises(InvalidInput, match="holds no corpus"):
        write_corpora(tmp_path, "all", tmp_path)
    broken = tmp_path / "x.en-de.tsv"
    broken.write_text("one\teins\nonly one column\n")
    with pytest.raises(InvalidInput, match=r"Line 2 .* has 1 columns"):
        list(read_pairs(broken))


def test_the_command_line_sets_the_recipe() -> None:
    read = train_translation.read_arguments(
        ["--seed=3", "--data=d", "--out=o", "--learning-rate=0.1", "--guide=eflomal"]
    )
    assert read == (Path("d"), Path("o"), "free", None, {"seed": 3, "learning_rate": 0.1, "guide": "eflomal"})
