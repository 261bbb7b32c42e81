"""A call walks through few rooms; docs/rooms.md describes these walks."""

from __future__ import annotations

from architectures import tiny
from walk import walk

import normlens

IDS = [5, 6, 7, 8, 9]


def lens() -> normlens.Lens:
    return normlens.load((tiny.build("bert"), None))


def test_a_first_analyze_walks_through_ten_rooms_at_most() -> None:
    first = lens()
    walked = walk(lambda: first.analyze(IDS))
    assert len(walked.rooms) <= 10, walked.rooms
    assert walked.rooms[0] == "analysis" and "engine/contributions" in walked.rooms
    assert walked.changes <= 1500


def test_the_rest_of_the_layer_is_entered_only_if_it_is_asked_for() -> None:
    feedforward, frozen = "engine/feedforward", "engine/frozen"
    model = lens()
    assert not {feedforward, frozen} & set(walk(lambda: model.analyze(IDS)).rooms)
    assert {feedforward, frozen} <= set(walk(lambda: model.analyze(IDS, through="block")).rooms)


def test_a_second_analyze_does_not_inspect_again() -> None:
    model = lens()
    first, second = (walk(lambda: model.analyze(IDS)) for _ in range(2))
    assert second.changes < first.changes / 2
