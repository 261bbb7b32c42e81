"""Pictures made from a model and from alignments."""

from pathlib import Path

import numpy as np

from normlens.alignment import Aligner, Extractor, Line, LinkSets, Reading, draw_matrices, write_links_page
from normlens.alignment.symmetrization import shares


def test_matrices_of_a_pair_are_its_weights_and_norms(marian: Extractor) -> None:
    pair = marian.pair("das haus", "the house .")
    panels = draw_matrices(marian, pair, Reading(1, scope="layernorm"), LinkSets.from_links({(0, 0)}))

    (norm,) = marian.soft([pair], Reading(1, scope="layernorm"))
    (weight,) = marian.soft([pair], Reading(1, "weight"))
    for axes, soft in zip(panels, (weight, norm), strict=True):
        np.testing.assert_allclose(axes.collections[0].get_array(), shares(soft.values), rtol=1e-5)
        assert len(axes.patches) == 1


def test_a_page_leaves_out_what_was_skipped_and_marks_gold(marian: Extractor, tmp_path: Path) -> None:
    lines = [Line(1, "das haus", "the house"), Line(2, "", "x"), Line(3, "hund", "dog")]
    alignments = list(Aligner(marian, Reading(0)).align(lines))
    nothing = LinkSets.from_links(())

    page = write_links_page(alignments, tmp_path / "page.html", gold=[nothing, nothing, LinkSets.from_links({(0, 0)})])

    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 2
    assert text.count("stroke:#9A9A9A") == len(alignments[0].links)
    assert ("line 3" in text, "line 2" in text) == (True, False)
