"""Changes to a saved analysis that a file from elsewhere may have: harmful, malformed, or merely odd."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

SECRET = b"SECRET" * 4000


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
