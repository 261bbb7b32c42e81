"""Analyses that somebody sent: whatever is in the file, nothing else is read, and it loads or says what is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from altered_files import (
    REFUSED,
    compound,
    coordinates,
    cycle,
    dates,
    external,
    external_elsewhere,
    external_group,
    external_link,
    fill,
    huge,
    huge_compressed,
    many_attributes,
    many_objects,
    much_text,
    plug_in,
    second_name,
    soft_link,
    virtual,
    wrong_category,
)

import normlens
from normlens import Analysis
from normlens.errors import NormLensError

SECRET = b"SECRET" * 4000
MakeLens = Callable[..., normlens.Lens]


@pytest.fixture(scope="module")
def good(lens_of: MakeLens, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "analysis.nc"
    return lens_of("bert").analyze([10, 11, 12, 13]).save(path).read_bytes()


@pytest.fixture
def received(good: bytes, tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    path = tmp_path / "received.nc"
    path.write_bytes(good)
    return path


def use(analysis: Analysis) -> None:
    """Everything that is done with an analysis."""
    repr(analysis)
    analysis.words().to_dataframe()
    analysis.to_dataframe("head")
    assert "SECRET" not in analysis.to_json()
    analysis.to_html()
    analysis.plot()
    assert analysis.conservation_error >= 0 or analysis.conservation_error != analysis.conservation_error
    for name in analysis.groups:
        assert not np.isin(analysis[name].data["vector_norm"].values, np.frombuffer(SECRET[:24], "<f4")).any()


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_what_an_analysis_is_not_made_of_is_refused_at_load(
    change: Callable[[h5py.File], None], received: Path
) -> None:
    with h5py.File(received, "r+") as file:
        change(file)
    with pytest.raises(NormLensError, match=r"received\.nc can't be read as an analysis"):
        Analysis.load(received)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "vector_norm are stored in another file"), (external_elsewhere, "further are stored in another file"),
        (virtual, "vector_norm are stored in another file"), (external_link, "further is a link to another object or file"),
        (external_group, "/encoder is a link"), (soft_link, "further is a link"), (cycle, "also has another name"),
        (second_name, "also has another name"), (huge, "declares more than"), (huge_compressed, "declares more than"),
        (much_text, "bytes of text"), (many_objects, "more objects or"), (plug_in, "compressed by a plug-in"),
        (compound, "expected numbers or text"), (many_attributes, "more objects or"), (wrong_category, "'unheard of'"),
    ],
    ids=lambda one: getattr(one, "__name__", "says"),
)  # fmt: skip
def test_the_reason_is_told(change: Callable[[h5py.File], None], message: str, received: Path) -> None:
    with h5py.File(received, "r+") as file:
        change(file)
    with pytest.raises(NormLensError, match=message):
        Analysis.load(received)


@pytest.mark.parametrize("change", [dates, coordinates, fill], ids=lambda change: change.__name__)
def test_what_does_no_harm_is_read_as_it_is_or_refused(change: Callable[[h5py.File], None], received: Path) -> None:
    with h5py.File(received, "r+") as file:
        change(file)
    with suppress(NormLensError):
        use(Analysis.load(received))


MISSING = [
    "layer", "layer_path", "head", "vector_norm", "norm",
    *(f"{side}_{label}" for side in ("target", "source") for label in ("token", "id", "word", "category", "start", "end")),
]  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_said_at_load(name: str, lens_of: MakeLens, tmp_path: Path) -> None:
    data = lens_of("bert").analyze([10, 11, 12, 13])["encoder"].data
    lacking = data.drop_vars(name) if name not in data.indexes else data.drop_vars([name])
    path = Analysis.of({"encoder": lacking}, {}).save(tmp_path / "lacking.nc")
    with pytest.raises(NormLensError, match=rf"its group encoder lacks {name}\."):
        Analysis.load(path)


def test_the_unchanged_file_is_used_in_every_way(received: Path) -> None:
    use(Analysis.load(received))


REDUCTIONS = {
    "mean": "mean",
    "edges": "edges",
    "weights": lambda data: data[["weight"]],
    "mean weights": lambda data: data[["weight"]].mean("head"),
    "largest norms": lambda data: data[["norm"]].max("source"),
}


@pytest.mark.parametrize("reduce", REDUCTIONS.values(), ids=REDUCTIONS)
def test_what_a_reduction_left_is_read_and_said_to_be_no_map(reduce: object, lens_of: MakeLens, tmp_path: Path) -> None:
    one = lens_of("bert").analyze([10, 11, 12, 13], reduce=reduce)
    again = Analysis.load(one.save(tmp_path / "reduced.nc"))
    assert again["encoder"].data.identical(one["encoder"].data)
    for ask in (again.words, again.to_dataframe):
        with pytest.raises(NormLensError, match="was reduced and has no maps"):
            ask()


def test_a_compressed_copy_is_read_too(received: Path, tmp_path: Path) -> None:
    analysis = Analysis.load(received)
    names = {f"/{name}": {str(k): {"zlib": True} for k in analysis[name].data.data_vars} for name in analysis.groups}
    analysis.data.to_netcdf(tmp_path / "small.nc", engine="h5netcdf", encoding=names)
    use(Analysis.load(tmp_path / "small.nc"))


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "nowhere", "a" * 300, "a\0"):
        with pytest.raises(NormLensError):
            Analysis.load(tmp_path / name)
    with pytest.raises(NormLensError):
        Analysis.load("/dev/zero")


_FLIPS = """
import random, sys
from pathlib import Path
from normlens import Analysis
from normlens.errors import NormLensError
whole, path, seed, count = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
generator, loaded = random.Random(seed), 0
for _ in range(count):
    data = bytearray(whole)
    for _ in range(generator.choice((1, 1, 2, 8, 64))):
        data[generator.randrange(len(data))] = generator.choice((0, 255, generator.randrange(256)))
    if generator.random() < 0.1:
        data = data[: generator.randrange(len(data))]
    path.write_bytes(data)
    try:
        analysis = Analysis.load(path)
    except NormLensError:
        continue
    loaded += 1
    try:
        analysis.words().to_dataframe()
        repr(analysis), analysis.to_json()
    except NormLensError:
        pass
print(loaded)
"""


def test_flipped_bytes_end_in_an_analysis_or_in_our_error(received: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FLIPS, str(received), str(tmp_path / "flipped.nc"), "0", "25"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert 0 < int(done.stdout) < 25


@pytest.mark.parametrize("value", [3, 2.5, float("nan"), np.float32(1), np.int8(4), "text"])
def test_attributes_of_a_file_can_be_written_again(value: object, received: Path, tmp_path: Path) -> None:
    with h5py.File(received, "r+") as file:
        file.attrs["further"] = value
    again = Analysis.load(received)
    assert '"further": ' in again.to_json()
