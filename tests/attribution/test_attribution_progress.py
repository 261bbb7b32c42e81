"""Attributions of many texts show how far they are, on standard error, and only if that is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from rich.progress import Progress

import normlens
from normlens.attribution import attributor

TEXTS = ["the cat sat", "a dog", "the dog ran here", "a cat"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Progress]:
    """The progress bars that are made."""
    bars: list[Progress] = []

    class Kept(Progress):
        def __init__(self, *columns: Any, **options: Any) -> None:
            super().__init__(*columns, **options)
            bars.append(self)

    monkeypatch.setattr(attributor, "Progress", Kept)
    return bars


def test_the_bar_counts_texts_to_their_number(reader: normlens.Lens, shown: list[Progress]) -> None:
    shares = reader.attribute(TEXTS, method="rollout", batch_size=2)
    (bar,) = shown
    assert (bar.tasks[0].completed, bar.tasks[0].total, bar.disable) == (0, 4, False)
    assert len(list(shares)) == 4
    assert (bar.tasks[0].completed, bar.finished) == (4, True)
    list(reader.attribute(iter(TEXTS), method="rollout"))
    assert shown[1].tasks[0].total is None and shown[1].tasks[0].completed == 4


def test_no_bar_is_shown_without_need(
    reader: normlens.Lens, shown: list[Progress], capfd: pytest.CaptureFixture[str]
) -> None:
    reader.attribute(TEXTS[0], method="rollout")
    assert shown == []
    list(reader.attribute(TEXTS, method="rollout", progress=False))
    assert shown[0].disable
    assert capfd.readouterr() == ("", "")
