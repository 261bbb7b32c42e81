"""What notebooks show: results with pictures that are complete in themselves, and nothing on stderr."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

import normlens
from normlens.alignment import Alignment, Link
from normlens.clustering import find_good_clusterings
from normlens.clustering.model_heads import ComparedHeads

QUIET = """
import sys, types
sys.modules["ipywidgets"] = None  # as if they weren't installed
import normlens
lens = normlens.load("minilm-l6")
texts = ["The cat sat.", "It rained."]
print(len(list(lens.analyze(texts))), len(list(lens.attribute(texts, method="rollout"))))
"""


def alignment() -> Alignment:
    return Alignment(
        1, ["das", "ist", "<b>"], ["that", "is", "<b>"], [Link(0, 0, 0.9, True), Link(1, 1, 0.4, False)], None
    )


def test_an_alignment_shows_its_lines_in_a_frame() -> None:
    shown = alignment()._repr_html_()
    assert shown.startswith("<p>&lt;Alignment of line 1") and shown.count("<iframe srcdoc=") == 1
    outside = re.sub(r'srcdoc="[^"]*"', "", shown)
    assert " id=" not in outside and "<b>" not in shown


def test_a_skipped_line_has_no_frame() -> None:
    assert "iframe" not in Alignment(1, [], [], [], None, "empty")._repr_html_()


def test_clusterings_are_a_table() -> None:
    result = find_good_clusterings(np.array([[0.0], [1.0], [10.0], [11.0]]), alpha=5, gamma=0.25)
    assert "<td>19</td><td>2</td><td>2, 2</td>" in result._repr_html_()
    none = find_good_clusterings(np.array([[0.0], [1.0], [2.0], [3.0]]), alpha=5, gamma=0.25)
    assert "<table>" not in none._repr_html_()


def test_compared_heads_are_a_picture() -> None:
    apart = np.array([[0.0, 0.1, 0.5], [0.1, 0.0, 0.4], [0.5, 0.4, 0.0]])
    heads = ComparedHeads(apart, ("0.0", "0.1", "0.2"), np.zeros((3, 6)), "norm", "encoder", 1, 4)
    assert '<img src="data:image/png;base64,' in heads._repr_html_()


def test_an_analysis_is_a_picture_twice_in_a_notebook_and_as_html(
    reader: normlens.Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [reader.analyze("the cat sat"), alignment()]
    outputs = [new_output("display_data", {"text/html": one._repr_html_()}) for one in (*results, *results)]
    page, _ = HTMLExporter().from_notebook_node(new_notebook(cells=[new_code_cell("results", outputs=outputs)]))
    assert page.count('alt="Heat maps of one layer, by weight and by norm"') == 2 and page.count("<iframe ") == 2
    assert "base64" not in reader.analyze("the cat sat", reduce="categories")._repr_html_()
    monkeypatch.setattr("normlens.figures.framed._MOST_TOKENS", 3)
    assert "base64" not in reader.analyze("the cat sat")._repr_html_()  # too many words for a small picture


def test_completion_offers_public_names_groups_and_arrays(reader: normlens.Lens) -> None:
    assert {"load", "methods", "Lens", "Analysis"} <= set(dir(normlens)) and "Aligner" in dir(normlens.alignment)
    analysis = reader.analyze("the cat sat")
    assert analysis._ipython_key_completions_() == ["encoder"]
    assert {"weight", "norm", "weighted_norm"} <= set(analysis["encoder"]._ipython_key_completions_())
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        normlens.nothing  # noqa: B018


def test_plots_of_xarray_are_labeled(reader: normlens.Lens) -> None:
    encoder = reader.analyze("the cat sat", through="block")["encoder"]
    assert encoder.norm.attrs["long_name"] == "norm of the sum over heads ‖Σ α f(x)‖"
    assert encoder["norm_block"].attrs["long_name"] == "norm of the sum over heads ‖Σ α f(x)‖, scope block"
    assert encoder.weighted_norm.attrs == {"long_name": "weighted vector norm ‖α f(x)‖", "units": "model units"}
    label = encoder.norm.isel(layer=0).plot().colorbar.ax.get_ylabel()
    assert label.replace("\n", " ") == "norm of the sum over heads ‖Σ α f(x)‖ [model units]"


@pytest.mark.real_model
def test_a_notebook_without_ipywidgets_is_quiet(tmp_path: Path) -> None:
    notebook = nbformat.from_dict(new_notebook(cells=[new_code_cell(QUIET)]))
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    assert [(output.name, output.text) for output in notebook.cells[0].outputs] == [("stdout", "2 2\n")]
