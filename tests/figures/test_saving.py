import errno
import logging
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
import xarray as xr
from matplotlib.figure import Figure

from normlens.errors import InvalidInput, NormLensError
from normlens.figures import heat_maps, save

Analyses = Callable[..., xr.Dataset]


def test_svg_holds_the_tokens_as_text_and_the_squares_as_vectors(random_group: xr.Dataset, tmp_path: Path) -> None:
    path = save(heat_maps(random_group, 0), tmp_path / "map.svg")
    tree = ElementTree.parse(path)
    texts = {"".join(element.itertext()).strip() for element in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {"[CLS]", "when", "lamp", "##ed", "what the weights say"} <= texts
    drawing = path.read_text(encoding="utf-8")
    assert "<image" not in drawing
    assert len(re.findall("<path ", drawing)) > 2 * 8 * 8


def test_awkward_tokens_leave_the_svg_well_formed(random_analysis: Analyses, tmp_path: Path) -> None:
    tokens = ["</text>", "a&b", "\x00\x1b", "$\\frac{$", "灯台"]
    path = save(heat_maps(random_analysis(1, 1, tokens), 0), tmp_path / "map.svg")
    texts = {"".join(element.itertext()).strip() for element in ElementTree.parse(path).iter()}
    assert {"</text>", "a&b", "\\x00\\x1b", "$\\frac{$", "灯台"} <= texts


def test_pdf_and_png_begin_as_such_files_do(by_hand: xr.Dataset, tmp_path: Path) -> None:
    assert save(heat_maps(by_hand, 0), tmp_path / "map.pdf").read_bytes().startswith(b"%PDF")
    assert save(heat_maps(by_hand, 0), tmp_path / "map.PNG").read_bytes().startswith(b"\x89PNG")


def test_pdf_keeps_text_as_text_of_a_true_font(by_hand: xr.Dataset, tmp_path: Path) -> None:
    written = save(heat_maps(by_hand, 0), tmp_path / "map.pdf").read_bytes()
    assert b"/CIDFontType2" in written  # outlines drawn letter by letter would be /Type3
    assert b"/ToUnicode" in written


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_the_same_figure_gives_the_same_file(by_hand: xr.Dataset, tmp_path: Path, suffix: str) -> None:
    files = [save(heat_maps(by_hand, 0), tmp_path / f"{name}{suffix}").read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_an_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'\.jpeg', expected one of \.png, \.svg, \.pdf"):
        save(Figure(), tmp_path / "map.jpeg")


def test_a_missing_folder_is_named(by_hand: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(NormLensError, match=r"absent/map\.png.*Check that the folder exists"):
        save(heat_maps(by_hand, 0), tmp_path / "absent" / "map.png")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    by_hand: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    figure = heat_maps(by_hand, 0)[0].figure
    (tmp_path / "map.png").write_bytes(b"old")
    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(NormLensError, match="No space left on device"):
        save(figure, tmp_path / "map.png")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
    assert (tmp_path / "map.png").read_bytes() == b"old"


def test_missing_glyphs_are_told_once_and_never_raise(
    random_analysis: Analyses, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    glagolitic = "\U0001e000"  # hardly any font has it
    figure = heat_maps(random_analysis(1, 1, [glagolitic, "word"]), 0)[0].figure
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        save(figure, tmp_path / "map.png")
    assert len([record for record in caplog.records if "No installed font" in record.message]) == 1


@pytest.mark.parametrize(("name", "told"), [("map.png", 1), ("map.pdf", 1), ("map.svg", 0)])
def test_matplotlibs_own_method_is_as_quiet(
    name: str, told: int, random_analysis: Analyses, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    figure = heat_maps(random_analysis(1, 1, ["\U0001e000", "灯台"]), 0)[0].figure
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        figure.savefig(tmp_path / name)
    assert len([record for record in caplog.records if "No installed font" in record.message]) == told
    assert "灯台" in (tmp_path / name).read_text("utf-8") if name.endswith("svg") else (tmp_path / name).stat().st_size


def test_matplotlibs_settings_come_back(by_hand: xr.Dataset, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save(heat_maps(by_hand, 0), tmp_path / "map.svg")
    assert dict(mpl.rcParams) == before
