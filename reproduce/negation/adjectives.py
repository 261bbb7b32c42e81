"""Adjectives by domain: two pairs of antonyms each, so that every word has an antonym and kin that is neither."""

from __future__ import annotations

from dataclasses import dataclass

_GRADABLE = (
    "quality: good bad, great awful",
    "temperature: hot cold, warm cool",
    "size: big small, large little",
    "mood: happy sad, cheerful gloomy",
    "speed: fast slow, quick sluggish",
    "brightness: bright dark, sunny cloudy",
    "wealth: rich poor, wealthy needy",
    "strength: strong weak, powerful feeble",
    "noise: loud quiet, noisy silent",
    "height: tall short, high low",
    "hardness: hard soft, tough tender",
    "wetness: wet dry, damp arid",
    "difficulty: easy difficult, simple complicated",
    "wit: clever stupid, smart foolish",
    "beauty: beautiful ugly, pretty hideous",
    "safety: safe dangerous, secure risky",
    "cleanliness: clean dirty, tidy messy",
    "courage: brave timid, bold fearful",
    "kindness: kind cruel, friendly hostile",
    "calm: calm angry, peaceful furious",
    "health: healthy sick, fit ill",
    "interest: interesting boring, exciting dull",
    "width: wide narrow, thick thin",
    "price: expensive cheap, costly affordable",
)
_OTHERS = (
    "truth: true false, right wrong",
    "life: alive dead, living extinct",
    "access: open closed, unlocked locked",
    "filling: full empty, filled vacant",
    "presence: present absent, here gone",
    "law: legal illegal, lawful criminal",
)


@dataclass(frozen=True)
class Domain:
    """A domain with two pairs of antonyms.

    Attributes
    ----------
    name
        What the words are about.
    pairs
        Antonyms; the first of a pair has more of it.
    gradable
        Whether there is more or less of it, as of heat, or only all or nothing, as of truth.
    """

    name: str
    pairs: tuple[tuple[str, str], tuple[str, str]]
    gradable: bool


def _domain(line: str, gradable: bool) -> Domain:
    name, words = line.split(": ")
    first, second = (tuple(pair.split()) for pair in words.split(", "))
    return Domain(name, ((first[0], first[1]), (second[0], second[1])), gradable)


DOMAINS = [_domain(line, True) for line in _GRADABLE] + [_domain(line, False) for line in _OTHERS]

FRAMES = (
    "It was {}.",
    "They are {}.",
    "Everything seemed {} to me.",
    "I think that this is {}.",
    "She said it was {} today.",
    "Then it is {}, as you know.",
)
"""Sentences that take any of the adjectives; the first half fits directions for the second, and the other way round."""

MODIFIERS = ("not", "not not", "very", "hardly", "now")
"""What is put before the adjective; "now" changes neither domain nor value, but moves the word's position."""
