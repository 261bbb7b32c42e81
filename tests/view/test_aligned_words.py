"""The explorer's alignment is that of the library, by weight and by norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exploring import explored, opened, service_of

import normlens
from normlens.errors import InvalidInput
from normlens.view import aligned_words

SOURCE, TARGET = "Ich habe das Buch gestern gekauft .", "Yesterday I bought the book ."


@pytest.mark.real_model
@pytest.mark.parametrize("layer", [None, 1])
def test_links_and_shares_are_those_of_the_library(layer: int | None) -> None:
    lens = normlens.load("de-en")
    service = service_of(lens)
    facts, arrays = opened(service.align(explored(service, SOURCE, TARGET), layer))
    assert facts["layer"] == (layer or 0) and facts["layers"] == [0, 1, 2]
    assert (facts["source"], facts["target"]) == (SOURCE.split(), TARGET.split())
    expected: Any
    for measure in ("weight", "norm"):
        expected = normlens.align(SOURCE, TARGET, model=lens, layer=layer or 0, measure=measure)
        assert facts["links"][measure] == [[link.source, link.target] for link in expected.links]
        assert arrays[measure] == pytest.approx(expected.soft.shares(), abs=1e-6)
        assert np.asarray(arrays[measure]).sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.real_model
def test_gold_links_stand_beside_both_measures() -> None:
    service = service_of(normlens.load("de-en"))
    run = explored(service, SOURCE, TARGET)
    facts, _ = opened(service.align(run, 0))
    assert facts["gold"] is None
    facts, _ = opened(service.align(run, 0, "0-1 1p2 2-3 3-4 4-0 5-2 6-5"))
    assert facts["gold"]["sure"] == [[0, 1], [2, 3], [3, 4], [4, 0], [5, 2], [6, 5]]
    assert facts["gold"]["possible"] == [[1, 2]]
    links = {(source, target) for source, target in facts["links"]["norm"]}
    sure = {(0, 1), (2, 3), (3, 4), (4, 0), (5, 2), (6, 5)}
    hits, allowed = len(links & sure), len(links & (sure | {(1, 2)}))
    rates = facts["gold"]["rates"]["norm"]
    assert rates["aer"] == pytest.approx(1 - (hits + allowed) / (len(links) + len(sure)))
    assert rates["precision"] == pytest.approx(allowed / len(links))
    assert rates["recall"] == pytest.approx(hits / len(sure))
    for gold, said in (("0-1 two", "'two' is not a link"), ("0-9", "0-9.* is out of range"), ("0p1", "no sure links")):
        with pytest.raises(InvalidInput, match=said):
            service.align(run, 0, gold)
    service.close()


@pytest.mark.real_model
def test_what_cannot_be_aligned_is_refused_in_a_sentence(
    reader: normlens.Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_of(reader)
    with pytest.raises(
        InvalidInput, match=r"reads one text, so there is nothing to align\. Choose a translation model"
    ):
        service.align(explored(service))
    service = service_of(normlens.load("de-en"))
    run = explored(service, SOURCE, TARGET)
    with pytest.raises(InvalidInput, match=r"no layer 9 with cross-attention; it has layers"):
        service.align(run, 9)
    monkeypatch.setattr(aligned_words, "MOST_WORDS", 3)
    with pytest.raises(InvalidInput, match=r"has 7 words; alignments are drawn for 3 at most\. Shorten it"):
        service.align(run)
