"""Displacements of made-up vectors whose parts are known by construction, and a short run on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import normlens
from reproduce.negation import displacement
from reproduce.negation.adjective_vectors import word_vectors
from reproduce.negation.adjectives import DOMAINS, FRAMES
from reproduce.negation.displacement import FEWEST, in_sentences
from reproduce.negation.displacement import displacement as displaced
from reproduce.negation.displacement_split import directions, polarity_accuracy, split
from reproduce.negation.real_sentences import PER_WORD, Placed, taking_cue, with_cue

SIZE = 12
DOMAIN, VALUE = np.eye(SIZE)[:4], np.eye(SIZE)[5]


def made(mu: float | None = None) -> np.ndarray:
    """Vectors of four domains: 10 along the own domain, ±1 along value; with μ, the value is turned as the theory has it."""
    vectors = np.zeros((4, 2, 2, len(FRAMES), 1, SIZE))
    for domain in range(4):
        for pole, sign in enumerate((1.0, -1.0)):
            vectors[domain, :, pole] = 10 * DOMAIN[domain] + (sign if mu is None else -mu * sign) * VALUE
    return vectors


def test_what_the_theory_predicts_is_what_is_read_off() -> None:
    plain = made()
    fitted = directions(plain)
    for mu in (0.25, 1.0):
        parts = {name: values.mean() for name, values in split(plain, made(mu), fitted).items()}
        assert parts["to_antonym"] == pytest.approx((1 + mu) / 2)
        assert parts["value"] == pytest.approx(1 + mu)
        assert parts["domain_kept"] == pytest.approx(1)
        assert (parts["in_antonym"], parts["in_domain"]) == pytest.approx((1, 0))
        assert parts["size"] == pytest.approx((1 + mu) / 2)
    assert polarity_accuracy(plain, fitted).tolist() == [1.0]


def test_a_shift_along_the_domain_is_told_from_one_along_the_value() -> None:
    plain = made()
    fitted = directions(plain)
    halved = plain - 5 * np.stack([np.broadcast_to(DOMAIN[k], plain.shape[1:]) for k in range(4)])
    parts = {name: values.mean() for name, values in split(plain, halved, fitted).items()}
    assert parts["to_antonym"] == pytest.approx(0) and parts["in_antonym"] == pytest.approx(0)
    # The coordinate before is 10 − 10/4 on the domain and −10/4 on the three others, all along one direction.
    direction = DOMAIN[0] * 7.5 - 2.5 * DOMAIN[1:].sum(axis=0)
    before = direction @ direction
    assert parts["domain_kept"] == pytest.approx(1 - 5 * 7.5 / before)


def test_another_words_direction_is_never_of_the_same_domain() -> None:
    plain = made()
    fitted = directions(plain)
    marked = dict(fitted, antonym=np.stack([np.broadcast_to(DOMAIN[k], plain.shape[1:]) for k in range(4)]))
    shift = np.stack([np.broadcast_to(DOMAIN[k], plain.shape[1:]) for k in range(4)])
    for seed in range(5):
        assert split(plain, plain + shift, marked, seed)["in_other_antonym"].max() == 0


def test_a_words_vector_is_the_mean_of_its_tokens(reader: normlens.Lens) -> None:
    text = "the cat unhappiness ran"
    [vectors] = word_vectors(reader, [text], [(8, 19)])
    ids = reader.tokenizer(text, return_tensors="pt")
    states = reader.model(**ids, output_hidden_states=True).hidden_states
    expected = np.stack([state[0, 3:6].detach().mean(dim=0).numpy() for state in states])  # un ##happi ##ness
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)
    texts, spans = ["the cat unhappiness ran here", "the cat", text], [(8, 19), (4, 7), (8, 19)]
    several = word_vectors(reader, texts, spans, batch_size=2)
    for one, own, span in zip(several, texts, spans, strict=True):
        np.testing.assert_allclose(one, word_vectors(reader, [own], [span])[0], rtol=1e-4, atol=1e-5)


def test_real_sentences_are_found_with_a_cue_and_taking_one() -> None:
    sentences = [
        "the cat is not  good here",
        "is n't bad",
        "good not here",
        "Not good.",
        "knot good",
        "very Good",
        "is good",
    ]
    pairs = with_cue(sentences, "not", ["good", "bad", "here"])
    assert [(one.text, one.word) for one, _ in pairs] == [
        ("is bad", "bad"),
        ("the cat is good here", "good"),
        ("good.", "good"),
        ("good here", "here"),
    ]
    for one, other in pairs:
        for placed in (one, other):
            assert placed.text[slice(*placed.span)].lower() == placed.word
    assert [one.word for one, _ in with_cue(sentences, "very", ["good"])] == ["good"]
    sentences = ["It's good, I know.", "It was good for me.", "He is BAD", "she is good and kind", "this good."] + [
        f"{k} is good" for k in range(20)
    ]
    taking = taking_cue(sentences, ["good", "bad"])
    assert [one.word for one in taking] == ["bad"] + ["good"] * PER_WORD
    assert taking[0].text == "He is BAD" and taking[1].text == "It's good, I know."
    moved = taking[1].after("not not")
    assert moved.text == "It's not not good, I know." and moved.text[slice(*moved.span)] == "good"


def test_displacements_in_sentences_are_those_of_the_vectors(
    reader: normlens.Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With vectors as the theory has them, a sentence's "not" keeps the domain and turns the value."""
    domains = DOMAINS[: FEWEST + 1]
    size, mu = len(domains) + 1, 0.5
    eye = np.eye(size)

    def vector(word: str) -> np.ndarray:
        number, pole = next(
            (k, pair.index(word)) for k, one in enumerate(domains) for pair in one.pairs if word in pair
        )
        return 10 * eye[number] + (1 - 2 * pole) * eye[-1]

    def vectors(lens: object, texts: list[str], spans: list[tuple[int, int]], batch_size: int) -> np.ndarray:
        rows = []
        for text, (start, end) in zip(texts, spans, strict=True):
            row = vector(text[start:end]).copy()
            row[-1] *= -mu if "not" in text else 1
            rows.append([row])
        return np.array(rows)

    monkeypatch.setattr(displacement, "word_vectors", vectors)
    plain = np.stack([[[[[vector(w)]] for w in pair] for pair in one.pairs] for one in domains])
    words = [one.pairs[k % 2][k % 2] for k, one in enumerate(domains)]
    pairs = [(Placed(word, 0, word), Placed(f"not {word}", 4, word)) for word in words]
    made = displaced(reader, pairs, plain, domains)
    means = {name: of[0] for name, of in made.items() if isinstance(of, list)}
    assert means["to_antonym"] == pytest.approx([(1 + mu) / 2]) and means["value"] == pytest.approx([1 + mu])
    assert means["domain_kept"] == pytest.approx([1]) and means["in_antonym"] == pytest.approx([1])
    assert (made["words"], made["domains"]) == (FEWEST + 1, FEWEST + 1)
    halved = [(one, Placed(other.text.replace("not", "now"), 4, one.word)) for one, other in pairs]
    assert displaced(reader, halved, plain, domains)["value"][0] == pytest.approx([0])
    assert displaced(reader, pairs[: FEWEST - 1], plain, domains) == {"words": FEWEST - 1, "domains": FEWEST - 1}


def test_every_sentence_is_counted_at_its_source(reader: normlens.Lens) -> None:
    sentences = {"one": ["the cat is not good here", "a dog is not bad"], "other": ["this is good", "a very bad dog"]}
    result = in_sentences(reader, sentences, DOMAINS[:2])
    assert result["with a cue"]["not"] == {"sentences": {"one": 2, "other": 0}, "words": 2, "domains": 1}
    assert result["with a cue"]["hardly, scarcely, barely"]["sentences"] == {"one": 0, "other": 0}
    assert {cell["sentences"]["other"] for cell in result["taking a cue"].values()} == {1}


def test_the_whole_study(
    reader: normlens.Lens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(displacement, "real_sentences", lambda data: {"made": ["it is not good", "it is bad"]})
    monkeypatch.setattr(displacement.normlens, "load", lambda name: reader)
    command = ["--data", str(tmp_path), "--output", str(tmp_path), "--domains", "3", "--parts", "minilm-l6"]
    assert displacement.main(command) == 0
    numbers = json.loads((tmp_path / displacement.NAME / "result.json").read_text(encoding="utf-8"))
    assert set(numbers["minilm-l6"]["modifiers"]) == {"not", "not not", "very", "hardly", "now"}
    assert (tmp_path / displacement.NAME / "layers.svg").exists()
    assert "towards the antonym" in capsys.readouterr().out


def test_missing_sentences_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert displacement.main(["--data", str(tmp_path), "--output", str(tmp_path), "--parts", "minilm-l6"]) == 2
    assert "train.txt" in capsys.readouterr().err
