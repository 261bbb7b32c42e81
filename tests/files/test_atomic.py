"""Files that appear whole or not at all, on full disks, through links, and beside what killed runs left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from normlens.errors import NormLensError
from normlens.files.atomic import remove_leftovers, temporary_folder, write_atomically

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


def test_a_file_written_in_parts_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr("normlens.files.atomic.os.write", lambda descriptor, data: write(descriptor, data[:3]))
    assert write_atomically(tmp_path / "file", "Dies ist ganz.").read_text() == "Dies ist ganz."


@posix
def test_a_limit_on_file_size_leaves_nothing(tmp_path: Path) -> None:
    import resource

    (tmp_path / "before").write_text("as it was")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # Python ignores SIGXFSZ
        with pytest.raises(NormLensError, match="File too large"):
            write_atomically(tmp_path / "before", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"before": "as it was"}


@posix
def test_a_hard_link_keeps_what_was_there_and_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    precious, link, name = tmp_path / "precious", tmp_path / "link", tmp_path / "name"
    precious.write_text("mine")
    os.link(precious, name)
    link.symlink_to(precious)
    write_atomically(name, "new")
    assert (precious.read_text(), name.read_text()) == ("mine", "new")
    with pytest.raises(NormLensError, match="is a symbolic link"):
        write_atomically(link, "new")
    assert (precious.read_text(), link.is_symlink()) == ("mine", True)


@posix
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("pipe", "a pipe or a device"), (".", "a folder"), ("a" * 300, "File name too long"), ("a\0b", "null"),
        ("nowhere/file", "No such file"), ("pipe/file", "Not a directory"),
    ):  # fmt: skip
        with pytest.raises(NormLensError, match=message):
            write_atomically(tmp_path / name, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    with pytest.raises(NormLensError, match="a pipe or a device"):
        write_atomically("/dev/null", "new")


@posix
@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, os.fsdecode(b"\xff\xfe.txt"), "with\nnew lines\x1b[31m"])
def test_a_name_may_be_whatever_the_file_system_takes(name: str, tmp_path: Path) -> None:
    assert write_atomically(tmp_path / name, name).exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_leftovers_of_killed_runs_go_and_those_of_running_ones_stay(tmp_path: Path) -> None:
    script = (
        "import os, sys, time, pathlib, normlens.files.atomic as saving\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "with saving.temporary_folder(folder) as partial:\n"
        "    (partial / 'file').write_text('half')\n"
        "    os.fsync = lambda _: (print('writing', flush=True), time.sleep(60))\n"
        "    saving.write_atomically(folder / 'file', 'new')\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        running = set(tmp_path.iterdir())
        write_atomically(tmp_path / "other", "whole")
        assert set(tmp_path.iterdir()) == running | {tmp_path / "other"}
        assert len(running) == 2
        process.kill()
    write_atomically(tmp_path / "other", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_only_what_was_temporary_is_removed(tmp_path: Path) -> None:
    names = [".normlens-notes", "normlens-1.tmp", ".other-1.tmp"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".normlens-1.tmp").symlink_to(tmp_path / names[0])
    (tmp_path / ".normlens-2.tmp").touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names, ".normlens-1.tmp"}


@posix
def test_whoever_removes_leftovers_never_takes_a_new_file(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, normlens.files.atomic as saving\n"
        "print('on', flush=True)\n"
        "while True: saving.remove_leftovers(pathlib.Path(sys.argv[1]))\n"
    )
    cleaner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    with cleaner:
        assert cleaner.stdout is not None
        cleaner.stdout.readline()
        end = time.monotonic() + 1.0
        count = 0
        try:
            while time.monotonic() < end:
                write_atomically(tmp_path / "file", str(count))
                with temporary_folder(tmp_path) as partial:
                    (partial / "inside").touch()
                    (partial / "inside").rename(tmp_path / "moved")
                count += 1
        finally:
            cleaner.kill()  # else a failure would wait for it for ever
    assert count > 20


@posix
def test_a_new_folder_that_is_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.open
    removed: list[Any] = []

    def removed_first(path: Any, flags: int, *arguments: Any) -> int:
        if not removed:
            removed.append(path)
            Path(path).rmdir()
        return original(path, flags, *arguments)

    monkeypatch.setattr("normlens.files.atomic.os.open", removed_first)
    with temporary_folder(tmp_path) as partial:
        assert partial.is_dir() and partial != removed[0]
