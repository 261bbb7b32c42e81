"""A model is compared once per attribution, and again in the next: a change in between is noticed."""

from __future__ import annotations

import copy
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from attribution_models import model_with_head

import normlens
from normlens.engine.capture import fingerprint
from normlens.engine.capture.eager_check import compared_state

IDS = [11, 12, 13, 14, 15]


@pytest.fixture
def lens() -> normlens.Lens:
    """A lens on a tiny classifier that a test may change."""
    return normlens.load((copy.deepcopy(model_with_head("SequenceClassification", "bert")), None))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the state of a model was read, by the model's class."""
    counts: Counter[str] = Counter()
    read = fingerprint._state_of

    def counted(model: Any) -> object:
        counts[type(model).__name__] += 1
        return read(model)

    monkeypatch.setattr(fingerprint, "_state_of", counted)
    return counts


@pytest.mark.parametrize("method", ["decompx", "norm_rollout", "alti", "gradient_input"])
def test_an_attribution_reads_the_state_of_a_model_once(lens: normlens.Lens, reads: Counter[str], method: str) -> None:
    lens.attribute(IDS, method=method)
    assert reads and set(reads.values()) == {1}
    lens.attribute(IDS, method=method)
    assert set(reads.values()) == {2}


def test_a_hook_between_two_attributions_is_noticed(lens: normlens.Lens) -> None:
    before = lens.attribute(IDS, target=1)
    state = compared_state(lens.model)
    assert lens.attribute(IDS, target=1).attrs["value"] == before.attrs["value"]
    assert compared_state(lens.model) is state
    hook = lens.model.classifier.register_forward_hook(lambda module, args, output: 2 * output)
    doubled = lens.attribute(IDS, target=1)
    assert compared_state(lens.model) is not state
    np.testing.assert_allclose(doubled.values, 2 * before.values, rtol=1e-12)
    hook.remove()
    np.testing.assert_array_equal(lens.attribute(IDS, target=1).values, before.values)


def test_a_new_layer_between_two_rollouts_is_noticed(lens: normlens.Lens) -> None:
    before = lens.attribute(IDS, method="norm_rollout")
    layers = lens.model.bert.encoder.layer
    layers[0], layers[1] = layers[1], layers[0]
    other = normlens.load((copy.deepcopy(lens.model), None)).attribute(IDS, method="norm_rollout")
    after = lens.attribute(IDS, method="norm_rollout")
    np.testing.assert_array_equal(after.values, other.values)
    assert np.abs(after.values - before.values).max() > 1e-3


def test_a_state_holds_in_one_context_of_one_thread(lens: normlens.Lens) -> None:
    with fingerprint.unchanged():
        first = fingerprint.state_of(lens.model)
        lens.model.register_forward_hook(lambda module, args, output: output)
        assert fingerprint.state_of(lens.model) is first
        with fingerprint.unchanged():
            assert fingerprint.state_of(lens.model) != first
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(fingerprint.state_of, lens.model).result() != first
        assert fingerprint.state_read(lens.model) is first
    assert fingerprint.state_read(lens.model) is None
    assert fingerprint.state_of(lens.model) != first
