"""A text file with a line for each line of its input: the same bytes whatever stopped the run, and nothing lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from normlens.corpus.fault_points import VARIABLE
from normlens.corpus.line_run import LineRun
from normlens.corpus.run_settings import check_settings
from normlens.errors import InvalidInput, NormLensError

ROWS = 9
WHOLE = b"".join(b"line %d \xff\r\n" % row for row in range(ROWS))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source.txt").write_text("x\n" * ROWS)
    return tmp_path / "source.txt"


def planned(source: Path, overwrite: bool = False, **settings: object) -> AbstractContextManager[LineRun]:
    files = source, None
    output = source.with_name("out")
    return LineRun.planned(output, files, ROWS, settings, shard_rows=2, threads=1, overwrite=overwrite)


def computed(first: int, last: int) -> Sequence[bytes]:
    return [b"line %d \xff\r" % row for row in range(first, last)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("point", ["results written:2", "record written:3", "linked:1", "committed:5"])
def test_the_result_is_the_same_wherever_it_was_killed(point: str, source: Path) -> None:
    child = os.fork()
    if child == 0:
        os.environ[VARIABLE] = point
        try:
            with planned(source, layer=1) as run:
                run.compute(computed)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    rows: list[int] = []
    with planned(source, layer=1) as again:
        assert again.done == {"results written:2": 2, "record written:3": 4, "linked:1": 2, "committed:5": 9}[point]
        again.compute(lambda first, last: rows.extend(range(first, last)) or computed(first, last))
        assert rows == list(range(again.done - len(rows), ROWS))
        again.write()
    assert source.with_name("out").read_bytes() == WHOLE
    assert sorted(path.name for path in source.parent.iterdir()) == ["out", "source.txt"]


def test_two_commands_do_not_work_on_one_result(source: Path) -> None:
    with planned(source) as run:
        run.compute(computed)
        for overwrite in (False, True):
            with (
                pytest.raises(InvalidInput, match=r"Another command is working in .*out\.run"),
                planned(source, overwrite=overwrite),
            ):
                pass
        assert run.done == ROWS
    with planned(source, overwrite=True, layer=2) as run, pytest.raises(InvalidInput), planned(source):
        pass


def test_a_run_that_is_refused_leaves_no_folder(source: Path) -> None:
    source.unlink()
    with pytest.raises(NormLensError), planned(source):
        pass
    assert list(source.parent.iterdir()) == []


def test_other_settings_are_refused_and_overwriting_starts_anew(source: Path) -> None:
    with planned(source, layer=1) as run:
        run.compute(computed)
    with pytest.raises(InvalidInput, match="out was started with other settings: layer was 1 and is now 2"):
        planned(source, layer=2).__enter__()
    with pytest.raises(InvalidInput, match="layer was 1 and is now 2"):
        check_settings(source.with_name("out"), {"layer": 2})
    check_settings(source.with_name("out"), {})
    for overwrite, layer, done in ((False, 1, ROWS), (True, 1, ROWS), (True, 2, 0)):
        with planned(source, overwrite=overwrite, layer=layer) as run:
            assert run.done == done


def test_a_changed_input_is_refused(source: Path) -> None:
    with planned(source) as run:
        source.write_text("y\n" * ROWS)
        with pytest.raises(InvalidInput, match="has changed since the run was planned"):
            run.compute(computed)
    with pytest.raises(InvalidInput, match=r"holds another run: files\.0\.sha256 was"), planned(source):
        pass


def test_a_result_keeps_its_other_names(source: Path) -> None:
    out = source.with_name("out")
    out.write_text("old")
    os.link(out, source.with_name("backup"))
    with planned(source) as run:
        run.compute(computed)
        run.write()
    assert (out.read_bytes(), source.with_name("backup").read_text()) == (WHOLE, "old")


def test_a_failing_line_is_said_and_tried_again(source: Path) -> None:
    def failing(first: int, last: int) -> Sequence[bytes]:
        if first == 4:
            raise NormLensError("no such word.")
        return computed(first, last)

    with planned(source) as run:
        with pytest.raises(NormLensError, match=r"no such word\. What is finished is kept in .*out\.run"):
            run.compute(failing)
        assert run.done == 7
    with planned(source) as run:
        run.compute(computed)
        assert run.done == ROWS
