"""Which characters are shown as they are: against words and emoji that are written with joiners."""

from __future__ import annotations

import pytest

from normlens.cli.terminal import printable
from normlens.figures.style import readable
from normlens.words.characters import shown

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize("text", ["❤️", "❤️\u200d\U0001f525", FAMILY, ENGLAND, "می\u200cخواهم", "क्\u200dष", "\u06dd"])
def test_words_and_emoji_stay_whole(text: str) -> None:
    assert shown(text, lambda _: "!") == readable(text) == printable(text) == text


@pytest.mark.parametrize("control", ["\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\u2028", "\ufeff", "\u200b", "\xad"])
def test_what_steers_or_hides_is_replaced(control: str) -> None:
    assert shown(f"a{control}b", lambda _: "!") == printable(f"a{control}b").replace("·", "!") == "a!b"
    assert control not in readable(f"a{control}b")


def test_joiners_that_join_nothing_are_made_visible() -> None:
    assert [readable(text) for text in ("\u200d", "a \u200d", "a\u200d\u200d")] == [
        "\\u200d",
        "a \\u200d",
        "a\u200d\\u200d",
    ]
    assert readable("\U000e0067") == "\\U000e0067"
