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


def replaced(file: h5py.File, name: str, *arguments: object, **options: object) -> h5py.Dataset:
    """Another array of that name, over the same dimensions as far as it has their sizes."""
    before = file["encoder"][name]
    dimensions = [before.dims[k][0] for k in range(before.ndim)] if not before.is_scale else []
    del file["encoder"][name]
    after = file["encoder"].create_dataset(name, *arguments, **options)
    if after.shape == tuple(len(dimension) for dimension in dimensions):
        for k, dimension in enumerate(dimensions):
            after.dims[k].attach_scale(dimension)
    return after


def external(file: h5py.File, name: str = "vector_norm") -> None:
    shape, kind = file["encoder"][name].shape, file["encoder"][name].dtype
    replaced(file, name, shape, kind, external=[(str(Path(file.filename).parent / "secret"), 0, h5py.h5f.UNLIMITED)])


def external_elsewhere(file: h5py.File) -> None:
    file["encoder"].create_dataset(
        "further", (10,), "f4", external=[(str(Path(file.filename).parent / "secret"), 0, h5py.h5f.UNLIMITED)]
    )


def virtual(file: h5py.File) -> None:
    other = Path(file.filename).parent / "other.h5"
    shape = file["encoder/vector_norm"].shape
    with h5py.File(other, "w") as source:
        source["x"] = np.resize(np.frombuffer(SECRET, "<f4"), shape)
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource(str(other), "x", shape)
    dimensions = [file["encoder/vector_norm"].dims[k][0] for k in range(3)]
    del file["encoder/vector_norm"]
    after = file["encoder"].create_virtual_dataset("vector_norm", layout)
    for k, dimension in enumerate(dimensions):
        after.dims[k].attach_scale(dimension)


def external_link(file: h5py.File) -> None:
    other = Path(file.filename).parent / "other.h5"
    with h5py.File(other, "w") as source:
        source["x"] = np.frombuffer(SECRET, "<f4")
    file["encoder/further"] = h5py.ExternalLink(str(other), "x")


def external_group(file: h5py.File) -> None:
    del file["encoder"]
    file["encoder"] = h5py.ExternalLink(str(Path(file.filename).parent / "other.h5"), "/")


def soft_link(file: h5py.File) -> None:
    file["encoder/further"] = h5py.SoftLink("/encoder/weight")


def dangling_link(file: h5py.File) -> None:
    file["encoder/further"] = h5py.SoftLink("/nowhere")


def cycle(file: h5py.File) -> None:
    file["encoder/again"] = file["/"]


def cycle_of_one(file: h5py.File) -> None:
    file["encoder/again"] = file["encoder"]


def second_name(file: h5py.File) -> None:
    file["encoder/further"] = file["encoder/weight"]


def huge(file: h5py.File) -> None:
    file["encoder"].create_dataset("further", (1 << 40,), "f4", chunks=(1024,))


def huge_without_chunks(file: h5py.File) -> None:
    file["encoder"].create_dataset("further", (1 << 34,), "f4")


def huge_compressed(file: h5py.File) -> None:
    file["encoder"].create_dataset("further", data=np.zeros((3, 1 << 23)), compression="gzip")


def much_text(file: h5py.File) -> None:
    file["encoder"].create_dataset(
        "further", data=np.full(30, "x" * 3_000_000, dtype=object), dtype=h5py.string_dtype()
    )


def many_objects(file: h5py.File) -> None:
    for k in range(11_000):
        file["encoder"].create_group(f"g{k}")


def deep(file: h5py.File) -> None:
    group = file["encoder"]
    for _ in range(3000):
        group = group.create_group("g")


def plug_in(file: h5py.File) -> None:
    described = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    described.set_chunk((4,))
    described.set_filter(30_000, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file["encoder"].id, b"further", h5py.h5t.IEEE_F32LE, space, described)


def named_type(file: h5py.File) -> None:
    file["encoder/further"] = np.dtype("f4")


def compound(file: h5py.File) -> None:
    replaced(file, "vector_norm", data=np.zeros((3, 4, 4), dtype=[("a", "f4"), ("b", "i4")]))


def references(file: h5py.File) -> None:
    replaced(file, "target_token", data=[file["encoder"].ref] * 4, dtype=h5py.ref_dtype)


def nothing(file: h5py.File) -> None:
    replaced(file, "vector_norm", data=h5py.Empty("f4"))


def opaque(file: h5py.File) -> None:
    replaced(file, "vector_norm", data=np.zeros((3, 4, 4), dtype="V8"))


def complex_numbers(file: h5py.File) -> None:
    replaced(file, "vector_norm", data=np.zeros((3, 4, 4), dtype=np.complex64))


def sizes_that_differ(file: h5py.File) -> None:
    replaced(file, "weight", data=np.zeros((3, 4, 5, 4), dtype="f4"))


def text_for_numbers(file: h5py.File) -> None:
    replaced(file, "target_word", data=np.array(["a"] * 4, dtype=object), dtype=h5py.string_dtype())


def numbers_for_text(file: h5py.File) -> None:
    replaced(file, "target_token", data=np.arange(4))


def no_utf_8(file: h5py.File) -> None:
    replaced(file, "target_token", data=np.array([b"\xff\xfe"] * 4, dtype=object), dtype=h5py.string_dtype())


def a_scalar(file: h5py.File) -> None:
    replaced(file, "vector_norm", data=np.float32(1))


def wrong_category(file: h5py.File) -> None:
    file["encoder/source_category"][0] = "unheard of"


def layers_out_of_order(file: h5py.File) -> None:
    file["encoder/layer"][...] = [2, 2, 0]


def attribute_of_numbers(file: h5py.File) -> None:
    file.attrs["text"] = np.arange(5)


def attribute_of_references(file: h5py.File) -> None:
    file.attrs["text"] = file["encoder"].ref


def attribute_of_another_kind(file: h5py.File) -> None:
    file.attrs["text"] = 3


def many_attributes(file: h5py.File) -> None:
    for k in range(1100):
        file["encoder/weight"].attrs[f"a{k}"] = k


def many_attributes_of_all(file: h5py.File) -> None:
    for k in range(1100):
        file.attrs[f"a{k}"] = k


def dates(file: h5py.File) -> None:
    file["encoder/weight"].attrs["units"] = "days since the flood"


def fill(file: h5py.File) -> None:
    file["encoder/weight"].attrs["_FillValue"] = "none"


def scaled(file: h5py.File) -> None:
    file["encoder/weight"].attrs["scale_factor"] = "twice"


def coordinates(file: h5py.File) -> None:
    file["encoder/weight"].attrs["coordinates"] = np.arange(3)


def dimensions(file: h5py.File) -> None:
    del file["encoder/weight"].attrs["DIMENSION_LIST"]


def no_groups(file: h5py.File) -> None:
    del file["encoder"]


def no_content(file: h5py.File) -> None:
    for name in list(file["encoder"]):
        del file["encoder"][name]


def groups_inside(file: h5py.File) -> None:
    file["encoder"].create_group("inner")


def an_array_at_the_top(file: h5py.File) -> None:
    file.copy("encoder", "copy")
    del file["encoder"]
    file["encoder"] = np.arange(4)
    del file["copy"]


REFUSED = [
    external, external_elsewhere, virtual, external_link, external_group, soft_link, dangling_link, cycle, cycle_of_one,
    second_name, huge, huge_without_chunks, huge_compressed, much_text, many_objects, deep, plug_in, named_type, compound,
    references, nothing, opaque, complex_numbers, sizes_that_differ, text_for_numbers, numbers_for_text, no_utf_8, a_scalar,
    wrong_category, layers_out_of_order, attribute_of_numbers, attribute_of_references, attribute_of_another_kind,
    many_attributes, many_attributes_of_all, no_groups, no_content, groups_inside, an_array_at_the_top, dimensions,
    scaled,
]  # fmt: skip


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
        with pytest.raises(NormLensError, match="was reduced, or measured without maps"):
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
    assert '"further": ' in again.to_json(tmp_path / "again.json")
