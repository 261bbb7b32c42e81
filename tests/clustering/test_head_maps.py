"""Where heads look, on maps whose answer is plain."""

import numpy as np
import pytest
import torch
import xarray as xr
from architectures import tiny

import normlens
from normlens.analysis import Group
from normlens.clustering.model_heads import HABITS, arrays_for, cluster_habits, compare_heads, head_habits, head_maps
from normlens.errors import InvalidInput


def group(kind: str = "encoder") -> Group:
    category = ["special", "other", "other", "special"]
    return Group(xr.Dataset(coords={"source_category": ("source", category)}, attrs={"kind": kind}))


def test_habits_of_heads_that_look_at_one_place() -> None:
    itself, before, after = np.eye(4), np.eye(4, k=-1), np.eye(4, k=1)
    before[0, 0] = after[3, 3] = 1  # the rows that have nothing before or after them look at themselves
    maps = np.stack([itself, before, after, np.ones((4, 4))])
    habits = head_habits(group(), maps)
    assert habits.sum(axis=1) == pytest.approx(1)
    table = {name: habits[:, place].tolist() for place, name in enumerate(HABITS)}
    assert table["the first token"] == [0.25, 0.5, 0, 0.25]  # its own diagonal; two rows of "before"; a quarter of ones
    assert table["special tokens"] == [0.25, 0, 0.5, 0.25]  # the last one, wherever else it is
    assert table["itself"] == [0.5, 0, 0, 2 / 16]
    assert table["the one before"] == [0, 0.5, 0, 2 / 16]
    assert table["the one after"] == [0, 0, 0.5, 2 / 16]


def test_cross_attention_has_no_neighbors() -> None:
    habits = head_habits(group("cross"), np.ones((1, 3, 4)))[0]
    assert habits.tolist() == [0.25, 0.25, 0, 0, 0, 0.5]


def test_rows_count_the_same_whatever_their_length() -> None:
    maps = np.array([[[0.0, 9.0, 9.0, 0.0], [2.0, 0.0, 0.0, 0.0]]])
    assert head_habits(group(), maps)[0, HABITS.index("the first token")] == 0.5


def test_clusters_are_named_by_where_their_heads_look_most() -> None:
    habits = np.array([[0.6, 0, 0.1, 0, 0, 0.3], [0.4, 0, 0.3, 0, 0, 0.3], [0.1, 0.1, 0.1, 0.1, 0.1, 0.5]])
    assert cluster_habits(habits, [0, 0, 1]) == ["the first token 50 %", "elsewhere 50 %"]
    assert cluster_habits(habits, [1, 1, 0]) == ["elsewhere 50 %", "the first token 50 %"]


def test_maps_by_displacement_are_those_of_the_definition() -> None:
    """α‖f(x) − o‖ in float64, with f from the projection's rows; the first target of a decoder sees itself alone."""
    model = tiny.build("llama", dtype=torch.float64)
    lens = normlens.load((model, None))
    texts = [tiny.inputs("llama", model, batch=1, length=length)["input_ids"][0].tolist() for length in (5, 7)]
    analyses = list(lens.stream(texts, measures=arrays_for("displacement"), progress=False))
    names, maps = head_maps(analyses[0]["decoder"], "displacement")
    block = analyses[0]["decoder"]
    assert len(names) == len(maps) and maps[:, 0].tolist() == [[1, 0, 0, 0, 0]] * len(maps)
    np.testing.assert_array_equal(maps[:, 1:], block.data["displacement"].values.reshape(len(maps), 5, 5)[:, 1:])
    compared = compare_heads(analyses, measure="displacement")
    assert compared.targets == 12 and compared.measure == "displacement"
    assert not np.allclose(compared.matrix, compare_heads(lens.stream(texts, progress=False)).matrix)
    with pytest.raises(InvalidInput, match=r"no displacement; expected one with measures=\['weight', 'displacement'\]"):
        compare_heads(lens.stream(texts, progress=False), measure="displacement")
