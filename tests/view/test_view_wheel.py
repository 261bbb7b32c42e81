"""The wheel holds the page, so that whoever installs it needs no Node."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from normlens.figures.explorer_page.embedded_page import static_folder

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_the_built_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        page = archive.read("normlens/figures/explorer_page/static/index.html")
    built = {
        f"normlens/figures/explorer_page/static/{path.relative_to(static_folder())}"
        for path in static_folder().rglob("*.*")
    }
    assert built <= set(names)
    assert len(built) >= 4
    assert page == (static_folder() / "index.html").read_bytes()
    assert not any("node_modules" in name or name.startswith("web/") for name in names)
