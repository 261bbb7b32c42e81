"""Displacements of made-up vectors whose parts are known by construction, and a short run on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import normlens
from reproduce.negation import displacement
from reproduce.negation.adjectives import DOMAINS, FRAMES
from reproduce.negation.displacement import directions, in_sentences, polarity_accuracy, split, word_vectors

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


def test_real_sentences_are_compared_with_themselves_without_the_cue(reader: normlens.Lens) -> None:
    sentences = ["the cat is not good here", "a dog is not bad", "is n't good", "good not here", "a very bad dog"]
    result = in_sentences(reader, sentences, DOMAINS[:2])
    assert set(result) == {"not"} and result["not"]["sentences"] == 3  # one sentence with "very" is too few


def test_the_whole_study(
    reader: normlens.Lens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(displacement, "real_sentences", lambda data: ["it is not good", "it is not bad"])
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
