"""Prompts with one deciding word, in pairs: with the other word, the other answer is right.

A frame is a carrier sentence with a pair of words of its own, written for this purpose; no carrier and no word pair serves
twice. Its two prompts differ in the deciding word alone, or in that and in a distractor, which then favors the wrong
answer. The deciding word is never the first word of a prompt and never the last.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = {"agreement": "subject–verb agreement", "capital": "capitals", "pronoun": "pronouns"}
"""The kinds of prompts, and their names on the page."""

EVERY = 4
"""The first of this many frames is for choices; the others are tested."""


@dataclass(frozen=True)
class Prompt:
    """A text whose next token one of its words decides.

    Attributes
    ----------
    kind
        One of :data:`KINDS`.
    frame
        Number of the frame within its kind; the two prompts of a frame share it.
    text
        What the model reads.
    right, foil
        The next token, and the one that follows from the other deciding word.
    evidence
        The deciding word, which occurs once in the text.
    """

    kind: str
    frame: int
    text: str
    right: str
    foil: str
    evidence: str

    @property
    def is_dev(self) -> bool:
        """Whether the prompt is for choices."""
        return self.frame % EVERY == 0


@dataclass(frozen=True)
class Frame:
    """A carrier sentence with two fillings.

    Attributes
    ----------
    carrier
        Sentence with ``{0}`` for the deciding word, and perhaps ``{1}`` and ``{2}`` for distractors.
    fillings
        Words to fill in, for each prompt: the deciding word first.
    answers
        The next token of each prompt, which is the foil of the other.
    """

    carrier: str
    fillings: tuple[tuple[str, ...], tuple[str, ...]]
    answers: tuple[str, str]


IS, WAS, HAS = (" is", " are"), (" was", " were"), (" has", " have")
_AGREEMENT = (
    ("The {0} to the {1}", "key keys", "cabinet cabinets", IS),
    ("As the guide told us, the {0} near the {1}", "road roads", "village villages", IS),
    ("Everyone noticed that the {0} of the {1}", "picture pictures", "house houses", WAS),
    ("In the old town the {0} behind the {1}", "garden gardens", "church churches", IS),
    ("My neighbour says the {0} from the {1}", "letter letters", "lawyer lawyers", HAS),
    ("Nobody could explain why the {0} by the {1}", "report reports", "committee committees", WAS),
    ("After so many years the {0} of the {1}", "door doors", "car cars", IS),
    ("Clearly the {0} on the {1}", "player players", "team teams", IS),
    ("The {0} about the {1}", "book books", "war wars", HAS),
    ("Our teacher believes that the {0} that the {1} admired", "author authors", "guard guards", IS),
    ("Last winter the {0} above the {1}", "window windows", "shop shops", WAS),
    ("To my surprise, the {0} with the {1}", "box boxes", "lid lids", IS),
    ("The {0} next to the {1}", "tree trees", "fence fences", WAS),
    ("We all know that the {0} beside the {1}", "lamp lamps", "bed beds", IS),
    ("On the second floor the {0} across from the {1}", "office offices", "elevator elevators", IS),
    ("According to the newspaper, the {0} against the {1}", "protest protests", "mayor mayors", HAS),
    ("The {0} that the {1} met", "singer singers", "journalist journalists", WAS),
    ("During the storm the {0} around the {1}", "wall walls", "farm farms", WAS),
    ("They told me that the {0} for the {1}", "ticket tickets", "concert concerts", IS),
    ("In this museum the {0} under the {1}", "statue statues", "arch arches", IS),
)
"""Subjects, each with a noun of the other number between itself and its verb."""

_CAPITALS = (
    ("The capital of {0} is", "Germany Berlin", "France Paris"),
    ("Everyone knows that the capital of {0} is", "Italy Rome", "Spain Madrid"),
    ("The capital of {1} is {2}, and the capital of {0} is", "Japan Tokyo", "China Beijing"),
    ("In {0}, the capital city is called", "Russia Moscow", "Poland Warsaw"),
    ("We left {1} last week and flew to {0}, whose capital is", "Egypt Cairo", "Kenya Nairobi"),
    ("Of all the cities in {0}, the capital is", "Greece Athens", "Chile Santiago"),
    ("The government of {0} has its seat in the capital,", "Austria Vienna", "Hungary Budapest"),
    ("Unlike in {1}, the capital of {0} is", "Ireland Dublin", "Portugal Lisbon"),
    ("She was born in {0} and lives in its capital,", "Cuba Havana", "Peru Lima"),
    ("The queen never visited {0}, so she never saw its capital,", "Norway Oslo", "Sweden Stockholm"),
    ("On the map of {0}, the capital is marked as", "Denmark Copenhagen", "Finland Helsinki"),
    ("Our trip took us from {1} to {0} and its capital,", "Belgium Brussels", "Switzerland Bern"),
    ("Students in {1} learn that the capital of {0} is", "Iran Tehran", "Iraq Baghdad"),
    ("If you travel to {0} by train, you will arrive in the capital,", "Ukraine Kiev", "Bulgaria Sofia"),
    ("The parliament of {0} meets in the capital, which is", "England London", "Scotland Edinburgh"),
    ("My friends from {1} asked me to name the capital of {0}, which is", "Canada Ottawa", "Australia Canberra"),
    ("When people think of {0}, they think of its capital,", "Texas Austin", "Colorado Denver"),
    ("The largest airport of {0} lies near the capital,", "Massachusetts Boston", "Arizona Phoenix"),
    ("A journalist from {1} wrote that the capital of {0} is", "Syria Damascus", "Afghanistan Kabul"),
    ("The governor of {0} works in the capital,", "Georgia Atlanta", "Tennessee Nashville"),
)
"""Countries, states and their capitals; the foil is the other one's, which some carriers name beside it."""

SUBJECT, REFLEXIVE = (" she", " he"), (" herself", " himself")
_PRONOUNS = (
    ("Yesterday {0} stayed at home because", "Anna Peter", SUBJECT),
    ("After the long meeting {0} was so tired that", "Mary David", SUBJECT),
    ("The neighbours thanked {0} because", "Julia Thomas", SUBJECT),
    ("According to {1}, {0} had hurt", "Susan Robert", REFLEXIVE),
    ("On Monday {0} told the children that", "Emily James", SUBJECT),
    ("In the kitchen {1} saw how {0} had burned", "Sarah Michael", REFLEXIVE),
    ("Nobody believed {0} when", "Laura Daniel", SUBJECT),
    ("The friends of {1} think that {0} blames", "Helen George", REFLEXIVE),
    ("Early in the morning {0} opened the window because", "Alice Paul", SUBJECT),
    ("The letter surprised {0} so much that", "Jane Richard", SUBJECT),
    ("We heard from {1} that {0} was very proud of", "Margaret William", REFLEXIVE),
    ("Last night {0} lost the keys to the car, so", "Linda Mark", SUBJECT),
    ("When the rain began, {0} ran to the old house where", "Karen Steven", SUBJECT),
    ("Standing beside {1}, {0} introduced", "Barbara Edward", REFLEXIVE),
    ("The doctor told {0} to wait, and so", "Nancy Brian", SUBJECT),
    ("A note from {1} says that {0} taught", "Elizabeth Charles", REFLEXIVE),
    ("For many years {0} lived in the village where", "Rachel Henry", SUBJECT),
    ("Without {1} there, {0} had to defend", "Rebecca Andrew", REFLEXIVE),
    ("The police stopped {0} on the bridge because", "Patricia Kevin", SUBJECT),
    ("Someone told {1} that {0} had locked", "Lucy Frank", REFLEXIVE),
)
"""A woman's and a man's name; a reflexive pronoun is decided by its clause's subject, also where there is a second name."""


def prompts() -> list[Prompt]:
    """All prompts, by kind and frame."""
    frames = {
        "agreement": [_agreement(*row) for row in _AGREEMENT],
        "capital": [_capital(*row) for row in _CAPITALS],
        "pronoun": [_pronoun(*row) for row in _PRONOUNS],
    }
    return [
        Prompt(kind, number, frame.carrier.format(*filling), right, foil, filling[0])
        for kind, listed in frames.items()
        for number, frame in enumerate(listed)
        for filling, right, foil in zip(frame.fillings, frame.answers, reversed(frame.answers), strict=True)
    ]


def _agreement(carrier: str, subjects: str, distractors: str, answers: tuple[str, str]) -> Frame:
    (one, many), (other, others) = subjects.split(), distractors.split()
    return Frame(carrier, ((one, others), (many, other)), answers)


def _capital(carrier: str, one: str, other: str) -> Frame:
    (here, city), (there, town) = one.split(), other.split()
    return Frame(carrier, ((here, there, town), (there, here, city)), (f" {city}", f" {town}"))


def _pronoun(carrier: str, names: str, answers: tuple[str, str]) -> Frame:
    woman, man = names.split()
    return Frame(carrier, ((woman, man), (man, woman)), answers)
