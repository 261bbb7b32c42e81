"""Threads and processes: plain runs, analyses and switches of a model beside an analysis of it, and forks meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP

import normlens
from normlens import topk
from normlens.attribution.registry import registered
from normlens.engine.frozen import pull_back, push_forward
from normlens.engine.locks import _locks_of, dual_level
from normlens.errors import ConservationError

IDS = [5, 6, 7, 8, 9]
METHODS = ["decompx", "rollout", "norm_rollout", "alti", "alti_logit", "logit", "value_zeroing", "gradient_input"]


def llama(seed: int = 0) -> PreTrainedModel:
    config = tiny.configuration("llama")
    config.update({"initializer_range": 0.3})
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config).eval()
    model.set_attn_implementation("sdpa")
    return model


def run(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(torch.tensor([IDS])).logits
    return logits


@contextmanager
def beside(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> Iterator[list[object]]:
    """Do ``work`` in another thread, from beginning to end, whenever this one is inside attention or a feed-forward."""
    here, results = threading.get_ident(), []

    def interrupted(forward: Callable[..., Any]) -> Callable[..., Any]:
        def interrupting(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == here:
                thread = threading.Thread(target=lambda: results.append(work()))
                thread.start()
                thread.join(10)
                assert not thread.is_alive()
            return forward(*args, **kwargs)

        return interrupting

    with monkeypatch.context() as patch:
        patch.setattr(LlamaMLP, "forward", interrupted(LlamaMLP.forward))
        patch.setattr(LlamaAttention, "__call__", interrupted(LlamaAttention.__call__))
        yield results


def question(lens: normlens.Lens, method: str) -> Any:
    """What a method gives, or an analysis."""
    if method in ("attention", "block"):
        analysis: Any = lens.analyze(IDS, through=method)
        return np.concatenate([x.values.ravel() for x in analysis["decoder"].data.data_vars.values()])
    target = None if registered()[method].targets == "none" else 1
    return lens.attribute(IDS, method=method, target=target).values


@pytest.mark.parametrize("method", ["attention", "block", *METHODS])
def test_a_plain_run_in_another_thread_changes_nothing_and_is_not_changed(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = llama()
    lens, alone = normlens.load((model, None)), run(model)
    expected = question(lens, method)
    with beside(monkeypatch, lambda: run(model)) as results:
        assert np.array_equal(question(normlens.load((model, None)), method), expected, equal_nan=True)
    assert results and all(torch.equal(x, alone) for x in results)


def test_analyses_of_two_models_take_turns_where_torch_has_one_level_for_all() -> None:
    models = [llama(seed) for seed in (0, 1)]
    expected = [push_forward(model, {"input_ids": torch.tensor([IDS])}, "model").vectors for model in models]
    vectors: dict[int, Tensor] = {}

    def push(number: int) -> None:
        vectors[number] = push_forward(models[number], {"input_ids": torch.tensor([IDS])}, "model").vectors

    threads = [threading.Thread(target=push, args=(number,)) for number in (0, 1)]
    with dual_level():
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        assert not vectors
    for thread in threads:
        thread.join(20)
    assert all(torch.equal(vectors[number], expected[number]) for number in (0, 1))


def test_many_analyses_of_two_models_at_once_are_those_of_each_alone() -> None:
    lenses = [normlens.load((llama(seed), None)) for seed in (0, 1)]
    asked = ["block", "decompx", "alti_logit", "value_zeroing"]
    expected = {(number, method): question(lens, method) for number, lens in enumerate(lenses) for method in asked}
    right: list[bool] = []
    together = threading.Barrier(4)

    def ask(number: int) -> None:
        together.wait(10)
        for method in asked:
            answer = question(lenses[number], method)
            right.append(np.array_equal(answer, expected[number, method], equal_nan=True))

    threads = [threading.Thread(target=ask, args=(number % 2,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert right == [True] * 16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_that_is_forked_during_an_analysis_can_analyze(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    lens = normlens.load((model, None))
    expected, inside, go_on = lens.attribute(IDS, target=1).values, threading.Event(), threading.Event()

    def pause(*args: Any) -> None:
        inside.set()
        go_on.wait(10)

    def held_up() -> None:
        lens.attribute(IDS, target=lambda output: (pause(), output.logits[:, -1, 1])[1])

    thread = threading.Thread(target=held_up)
    thread.start()
    assert inside.wait(10)
    threading.Timer(0.2, go_on.set).start()
    child = os.fork()
    if not child:
        hooks = any(x._forward_hooks or x._forward_pre_hooks for x in model.modules())
        same = not hooks and all(x.requires_grad for x in model.parameters())
        os._exit(0 if same and np.array_equal(lens.attribute(IDS, target=1).values, expected) else 1)
    thread.join(20)
    assert exit_code(child) == 0
    assert np.array_equal(lens.attribute(IDS, target=1).values, expected)


def exit_code(child: int) -> int:
    """Of a process, which is ended if it hangs."""
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -1


@pytest.mark.parametrize("method", ["decompx", "gradient_input", "logit"])
def test_shares_that_are_all_zero_are_refused(method: str) -> None:
    model = llama()
    with torch.no_grad():
        model.lm_head.weight.zero_()
    with pytest.raises(ConservationError, match="exactly zero"):
        normlens.load((model, None)).attribute(IDS, target=1, method=method)
    with pytest.raises(ConservationError, match="exactly zero"):
        pull_back(model, {"input_ids": torch.tensor([IDS])}, lambda output: output.logits[:, -1, 1])


def test_top_k_attention_waits_for_an_analysis_and_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    lens, dense = normlens.load((model, None)), run(model)
    expected = lens.attribute(IDS, target=1).values
    with topk.use(model, k=2):
        kept = run(model)
    started, uses = threading.Event(), []

    def switch() -> None:
        started.set()
        uses.append(topk.use(model, k=2))

    thread = threading.Thread(target=switch)

    def meanwhile(output: Any) -> Tensor:
        if not started.is_set():
            thread.start()
            assert started.wait(10)
            thread.join(0.1)
            assert not uses
        logits: Tensor = output.logits[:, -1, 1]
        return logits

    assert np.array_equal(lens.attribute(IDS, target=meanwhile).values, expected)
    thread.join(10)
    assert torch.equal(run(model), kept)
    assert np.array_equal(lens.attribute(IDS, target=1).values, expected)
    uses[0].undo()
    assert torch.equal(run(model), dense)


@pytest.mark.parametrize("measure", ["weight", "norm"])
def test_threads_that_run_a_model_with_top_k_attention_first_and_at_once_get_what_each_gets_alone(measure: str) -> None:
    model = llama()
    prompts = [torch.tensor([IDS]), torch.tensor([IDS[::-1]])]

    def generated(ids: Tensor) -> Tensor:
        tokens: Tensor = model.generate(ids, max_new_tokens=12, min_new_tokens=12, do_sample=False, pad_token_id=0)
        return tokens

    with topk.use(model, k=2, measure=measure):
        expected = [generated(ids) for ids in prompts]
    right: list[bool] = []
    together = threading.Barrier(4)

    def ask(number: int) -> None:
        together.wait(10)
        right.append(torch.equal(generated(prompts[number]), expected[number]))

    with topk.use(model, k=2, measure=measure):
        threads = [threading.Thread(target=ask, args=(number % 2,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert right == [True] * 4


def test_a_thread_that_analyzes_while_top_k_attention_is_switched_waits_for_it(
    reader: normlens.Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread looks up the locks of the model's configs at every moment of the switch: they are always the same."""
    expected = _locks_of(reader.model)
    seen: list[object] = []
    change = torch.nn.Module.__setattr__

    def looked_up(module: torch.nn.Module, name: str, value: Any) -> None:
        change(module, name, value)
        if name == "config":
            thread = threading.Thread(target=lambda: seen.append(_locks_of(reader.model)))
            thread.start()
            thread.join()

    monkeypatch.setattr(torch.nn.Module, "__setattr__", looked_up)
    with topk.use(reader, 2):
        pass
    assert len(seen) > 2 and all(locks == expected for locks in seen)
