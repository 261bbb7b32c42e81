"""Files that appear whole or not at all, and analyses that come back as they went."""

from __future__ import annotations

import copy
import errno
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import normlens
from normlens.analysis.result import Analysis
from normlens.errors import NormLensError
from normlens.files.atomic import write_atomically

FORMS = {
    "netCDF": lambda a, path: a.save(path),
    "Parquet": lambda a, path: a.to_parquet(path),
    "JSON": lambda a, path: a.to_json(path),
    "HTML": lambda a, path: a.to_html(path),
}


def test_a_group_can_be_copied(analysis: Analysis) -> None:
    group = analysis["encoder"]
    for copied in (copy.copy(group), copy.deepcopy(group), pickle.loads(pickle.dumps(group))):
        xr.testing.assert_identical(copied.data, group.data)


@pytest.fixture(scope="module")
def analysis(lens_of: Callable[..., normlens.Lens]) -> Analysis:
    return lens_of("marian").analyze([10, 11, 12, 13], [20, 21, 22])


def test_an_analysis_comes_back_as_it_was_saved(analysis: Analysis, reader: normlens.Lens, tmp_path: Path) -> None:
    for number, one in enumerate([analysis, reader.analyze("the unhappiness, here.")]):
        read = Analysis.load(one.save(tmp_path / f"{number}.nc"))
        assert read.groups == one.groups
        assert read.attrs == one.attrs
        for name in one.groups:
            xr.testing.assert_identical(read[name].data, one[name].data)
        assert read.conservation_error == one.conservation_error
        assert read.to_dataframe().equals(one.to_dataframe())


def test_json_comes_back_with_the_same_numbers(analysis: Analysis, reader: normlens.Lens, tmp_path: Path) -> None:
    for number, one in enumerate(
        [analysis, reader.analyze("the unhappiness, here."), reader.analyze("the cat").words()]
    ):
        read = Analysis.load(one.to_json(tmp_path / f"{number}.json"))
        assert read.groups == one.groups
        assert read.attrs == one.attrs
        for name in one.groups:
            xr.testing.assert_equal(read[name].data, one[name].data)  # NaN included
        assert str(read) == str(one)
        read.plot()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "has no groups"),
        ('{"attrs": {}, "groups": {"encoder": {}}}', "encoder has no coords"),
        ('{"attrs": {}, "groups": {}}', "no groups"),
        (
            '{"attrs": {}, "groups": {"encoder": {"attrs": {}, "coords": {}, "data_vars": {"weight": {"dims": ["layer"], '
            '"attrs": {}, "data": [[1]]}}}}}',
            "2 dimensions",
        ),
        (
            '{"attrs": {}, "groups": {"encoder": {"attrs": {}, "coords": {}, "data_vars": {"weight": {"dims": ["layer"], '
            '"attrs": {}, "data": [1, "a"]}}}}}',
            "neither numbers nor texts",
        ),
    ],
)
def test_json_of_something_else_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(NormLensError, match=message):
        Analysis.load(path)


@pytest.mark.parametrize("reduce", ["categories", "sinks", "edges", "mean"])
def test_a_reduced_analysis_can_be_saved(reduce: str, reader: normlens.Lens, tmp_path: Path) -> None:
    one = reader.analyze("the cat sat, here.", reduce=reduce)
    read = Analysis.load(one.save(tmp_path / "reduced.nc"))
    xr.testing.assert_identical(read["encoder"].data, one["encoder"].data)


def test_words_can_be_saved(reader: normlens.Lens, tmp_path: Path) -> None:
    words = reader.analyze("the unhappiness, here.").words()
    read = Analysis.load(words.save(tmp_path / "words.nc"))
    xr.testing.assert_identical(read["encoder"].data, words["encoder"].data)


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(
    form: str, analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("normlens.files.atomic.os.write", full)
    (tmp_path / "before").write_bytes(b"as it was")
    for path in (tmp_path / "new", tmp_path / "before"):
        with pytest.raises(NormLensError, match=r"No space left on device.*space left, or choose another path"):
            FORMS[form](analysis, path)
    assert [path.name for path in tmp_path.iterdir()] == ["before"]
    assert (tmp_path / "before").read_bytes() == b"as it was"


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
def test_whatever_interrupts_writing_nothing_is_left(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> int:
        raise error

    monkeypatch.setattr("normlens.files.atomic.os.fsync", interrupted)
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "file", b"half")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(analysis: Analysis, tmp_path: Path) -> None:
    with pytest.raises(NormLensError, match=r"nowhere.*Check that the folder exists"):
        analysis.save(tmp_path / "nowhere" / "analysis.nc")


def test_a_file_is_readable_by_others_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    assert write_atomically(path, "new") == path
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [None, b"", b"not a netCDF file", b"\x89HDF\r\n\x1a\n broken"])
def test_a_file_that_is_no_analysis_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "analysis.nc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NormLensError, match=r"analysis\.nc.*[Ee]xpected"):
        Analysis.load(path)
