"""A report takes its place: killed at any step, it is the old one, the new one, or one that the next run completes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from normlens.errors import InvalidInput
from normlens.statistics.report import files_of_report, read_estimates, refuse_to_overwrite
from normlens.statistics.report.placing import taking_its_place

_STEPS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "open")
_KILLED = 77


def write(folder: Path, version: str, figures: tuple[str, ...] = ("share",)) -> None:
    """A report whose files all hold its version."""
    with taking_its_place(folder) as partial:
        (partial / "figures").mkdir()
        for name in figures:
            (partial / "figures" / f"{name}.svg").write_text(version)
        (partial / "report.html").write_text(version)
        (partial / "numbers.parquet").write_text(version)
        (partial / "report.md").write_text(version + "".join(f"\n![](figures/{name}.svg)" for name in figures))


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Do work in a process that ends at its so-manieth step on the file system, without any clean-up; whether it did."""
    child = os.fork()
    if child == 0:
        left = [step]

        def hook(event: str, _: object) -> None:
            if event in _STEPS:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(_KILLED)

        try:
            sys.addaudithook(hook)
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, _KILLED)
    return code == _KILLED


def versions(folder: Path) -> set[str]:
    return {(folder / name).read_text().split("\n")[0] for name in files_of_report(folder)}


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_killed_at_any_step_no_report_is_mixed_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    seen = []
    for step in range(200):
        place = tmp_path / str(step) / "report"
        write(place, "old", ("share", "gone"))
        (place / "notes.md").write_text("mine")
        (place / "figures" / "mine.svg").write_text("mine")
        if not killed_at(step, lambda place=place: write(place, "new", ("share", "further"))):
            break
        refuse_to_overwrite(place)  # completes what has arrived
        (version,) = versions(place)
        seen.append(version)
        write(place, "newest", ("share", "further"))
        assert versions(place) == {"newest"}
        assert {path.name for path in place.iterdir()} == {
            "report.html", "report.md", "numbers.parquet", "figures", "notes.md"
        }  # fmt: skip
        assert {path.name for path in (place / "figures").iterdir()} == {"share.svg", "further.svg", "mine.svg"}
        assert (place / "notes.md").read_text() == (place / "figures" / "mine.svg").read_text() == "mine"
        assert [path.name for path in place.parent.iterdir()] == ["report"]
    assert seen == sorted(seen, reverse=True)  # old up to one step, and new from there on
    assert {"old", "new"} == set(seen) and len(seen) > 15


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_first_report_that_is_killed_leaves_a_place_for_the_next(tmp_path: Path) -> None:
    for step in range(200):
        place = tmp_path / str(step) / "report"
        place.parent.mkdir()
        if not killed_at(step, lambda place=place: write(place, "new")):
            break
        assert not place.exists() or versions(place) == {"new"}
        refuse_to_overwrite(place)
        write(place, "newest")
        assert versions(place) == {"newest"}
        assert [path.name for path in place.parent.iterdir()] == ["report"]
    assert step > 8


def test_what_has_arrived_is_completed_by_whoever_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "report", "old")
    write(tmp_path / "other", "new")
    (tmp_path / "other").rename(tmp_path / "report" / ".normlens-report")
    with pytest.raises(InvalidInput, match="can't be read as the numbers of a report"):
        read_estimates(tmp_path / "report")
    assert versions(tmp_path / "report") == {"new"}


def test_an_older_report_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    write(tmp_path / "report", "old")
    refuse_to_overwrite(tmp_path / "report")
    with pytest.raises(InvalidInput, match=r"holds a report already.*--overwrite"):
        refuse_to_overwrite(tmp_path / "report", overwrite=False)


@pytest.mark.parametrize("name", ["report.md", "figures"])
def test_a_report_does_not_move_onto_a_link_or_a_folder(name: str, tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "report", tmp_path / "elsewhere"
    write(place, "old")
    (place / name).rename(elsewhere)
    (place / name).symlink_to(elsewhere)
    with pytest.raises(InvalidInput, match="blocks the report"):
        write(place, "new", ("further",))
    assert (place / "report.html").read_text() == "old"
    assert not (elsewhere / "further.svg").exists()


def test_a_received_folder_cannot_have_files_outside_of_it_removed(tmp_path: Path) -> None:
    place, precious = tmp_path / "report", tmp_path / "precious.svg"
    write(place, "old")
    precious.write_text("mine")
    (place / "report.md").write_text("![](figures/../../precious.svg)")
    write(place, "new")
    arrived = place / ".normlens-report"
    arrived.mkdir()
    (arrived / "outgoing.txt").write_text("../precious.svg\nfigures/../../precious.svg\n/\n\n")
    refuse_to_overwrite(place)
    assert precious.read_text() == "mine"
    assert versions(place) == {"new"}
