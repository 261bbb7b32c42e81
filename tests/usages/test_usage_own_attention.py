"""Usages: a model that is set to another attention, or other experts, than eager code. What is analyzed is that model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import AttentionInterface, AutoModelForCausalLM, PreTrainedModel
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS, ExpertsInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask
from transformers.models.llama import modeling_llama
from transformers.models.marian import modeling_marian

import normlens
from normlens import topk
from normlens.engine.frozen import pull_back, push_forward
from normlens.errors import NormLensError, UnsupportedArchitecture
from normlens.topk.needs import count_sources

IDS = [5, 6, 7, 8, 9]
EAGER = modeling_llama.eager_attention_forward


def sharper(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, **options: Any) -> Any:
    """Eager attention with queries three times as long, in torch's own operations."""
    return EAGER(module, q * 3, k, v, mask, **options)


def fused(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, **options: Any) -> Any:
    """The same in a kernel that shows no weights."""
    return sdpa_attention_forward(module, q * 3, k, v, mask, **options)


def failing(*arguments: Any, **options: Any) -> Any:
    raise ZeroDivisionError("no kernel for this device")


def renamed(*arguments: Any, **options: Any) -> Any:
    """The model's own attention under a name of the user's."""
    return EAGER(*arguments, **options)


FUNCTIONS = {"sharper": (sharper, eager_mask), "fused": (fused, sdpa_mask), "renamed": (renamed, eager_mask)}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Functions of a user's, registered by name as long as a test lasts."""
    for name, (function, mask) in {**FUNCTIONS, "failing": (failing, eager_mask)}.items():
        AttentionInterface.register(name, function)
        AttentionMaskInterface.register(name, mask)
    yield
    for name in (*FUNCTIONS, "failing"):
        AttentionInterface._global_mapping.pop(name)
        AttentionMaskInterface._global_mapping.pop(name)


def llama(name: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    config = tiny.configuration("llama")
    config.update({"initializer_range": 0.5})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval().to(dtype)
    model.set_attn_implementation(name)
    return model


def logit(model: PreTrainedModel) -> float:
    with torch.no_grad():
        return float(model(torch.tensor([IDS])).logits[0, -1, 1])


def test_attention_of_the_user_s_own_is_what_is_attributed() -> None:
    for name in ("sharper", "renamed", "fused", "sdpa", "eager"):
        model = llama(name)
        shares = normlens.load((model, None)).attribute(IDS, target=1)
        assert shares.attrs["value"] == pytest.approx(logit(model), rel=1e-5)
        assert float(shares.sum()) + shares.attrs["bias_share"] == pytest.approx(logit(model), rel=1e-5)
    assert abs(logit(llama("sharper")) - logit(llama("eager"))) > 0.1


def test_attention_of_the_user_s_own_is_what_is_analyzed(monkeypatch: pytest.MonkeyPatch) -> None:
    own = normlens.load((llama("sharper"), None)).analyze(IDS, through="block")["decoder"]
    plain = normlens.load((llama("eager"), None)).analyze(IDS)["decoder"]
    assert float(abs(own.weight - plain.weight).max()) > 0.1
    monkeypatch.setattr(modeling_llama, "eager_attention_forward", sharper)
    patched = normlens.load((llama("eager"), None)).analyze(IDS, through="block")["decoder"]
    for name in ("weight", "norm", "mixing_ratio"):
        np.testing.assert_allclose(getattr(own, name), getattr(patched, name), rtol=1e-4, atol=1e-6)


def test_weights_that_a_kernel_keeps_to_itself_are_refused_by_name() -> None:
    with pytest.raises(NormLensError, match=r"attention 'fused'.*off by .*set_attn_implementation\('eager'\)"):
        normlens.load((llama("fused"), None)).analyze(IDS)
    for name in ("sharper", "fused"):
        with pytest.raises(UnsupportedArchitecture, match=rf"attention '{name}'.*set_attn_implementation"):
            normlens.load((llama(name), None)).attribute(IDS, method="value_zeroing")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_of_transformers_and_other_names_of_the_same_function_go_on_as_before(dtype: torch.dtype) -> None:
    expected = normlens.load((llama("eager", dtype), None)).analyze(IDS)["decoder"]
    for name in ("sdpa", "renamed"):
        group = normlens.load((llama(name, dtype), None)).analyze(IDS)["decoder"]
        assert np.array_equal(group.weight, expected.weight) and np.array_equal(group.norm, expected.norm)


def test_a_function_that_fails_is_named_and_a_kernel_that_cannot_run_here_is_none() -> None:
    for ask in (lambda lens: lens.analyze(IDS), lambda lens: lens.attribute(IDS, target=1)):
        with pytest.raises(
            UnsupportedArchitecture, match=r"attention 'failing', which fails .*no kernel for this device"
        ):
            ask(normlens.load((llama("failing"), None)))
    model = llama("eager")
    expected = logit(model)
    model.config._attn_implementation_internal = "flash_attention_2"  # as a GPU's model that was moved here
    assert normlens.load((model, None)).attribute(IDS, target=1).attrs["value"] == pytest.approx(expected, rel=1e-5)
    assert normlens.load((model, None)).analyze(IDS).conservation_error < 1e-5


def test_a_model_that_is_set_anew_is_looked_at_anew() -> None:
    model = llama("eager")
    lens = normlens.load((model, None))
    ids = {"input_ids": torch.tensor([IDS])}
    asked: list[Callable[[], float]] = [
        lambda: float(lens.attribute(IDS, target=1).attrs["value"]),
        lambda: float(pull_back(model, ids, lambda output: output.logits[:, -1, 1]).value),
        lambda: float(push_forward(model, ids, "lm_head").output[0, -1, 1]),
    ]
    for name in ("eager", "sharper", "sdpa", "fused", "renamed", "sharper"):
        model.set_attn_implementation(name)
        assert [ask() for ask in asked] == pytest.approx([logit(model)] * 3, rel=1e-5)
    AttentionInterface.register("sharper", EAGER)  # another function under the same name
    assert [ask() for ask in asked] == pytest.approx([logit(model)] * 3, rel=1e-5)


def test_one_side_of_a_model_may_be_set_by_itself() -> None:
    model = tiny.build("marian")
    eager = modeling_marian.eager_attention_forward
    AttentionInterface.register("sharper", lambda m, q, *x, **o: eager(m, q * 30, *x, **o))
    model.set_attn_implementation("sdpa")
    ids = {"input_ids": torch.tensor([IDS]), "decoder_input_ids": torch.tensor([IDS[:3]])}
    lens = normlens.load((model, None))
    before = lens.analyze(IDS, IDS[:3])
    for module in model.encoder.modules():
        if hasattr(module, "config"):
            module.config = copy.copy(model.config)
            module.config._attn_implementation_internal = "sharper"
    with torch.no_grad():
        alone = float(model(**ids).last_hidden_state[0, -1, 0])
    back = pull_back(model, ids, lambda output: output.last_hidden_state[:, -1, 0])
    assert float(back.value) == pytest.approx(alone, rel=1e-5)
    after = lens.analyze(IDS, IDS[:3])
    assert float(abs(after["encoder"].weight - before["encoder"].weight).max()) > 0.01
    for group in ("encoder", "decoder", "cross"):
        assert float(after[group].conservation_error.max()) < 1e-5


def test_experts_of_the_user_s_own_are_what_is_explained() -> None:
    model = tiny.build("mixtral")
    experts = type(next(x for path, x in model.named_modules() if path.endswith("experts"))).forward
    kind = experts.__wrapped__ if hasattr(experts, "__wrapped__") else experts
    ExpertsInterface.register("doubled", lambda self, *arguments, **options: 2 * kind(self, *arguments, **options))
    ids = {"input_ids": torch.tensor([IDS])}
    try:
        model.set_experts_implementation("doubled")
        with torch.no_grad():
            expected = float(model(**ids).last_hidden_state[0, -1, 0])
        result = pull_back(model, ids, lambda output: output.last_hidden_state[:, -1, 0])
        assert float(result.value) == pytest.approx(expected, rel=1e-5)
    finally:
        ExpertsInterface._global_mapping.pop("doubled")
    assert "doubled" not in ALL_EXPERTS_FUNCTIONS


def test_top_k_attention_is_refused_where_it_would_replace_another_attention() -> None:
    model = llama("sharper")
    with topk.use(model, k=2), pytest.raises(UnsupportedArchitecture, match="attention 'sharper'"):
        logit(model)
    with pytest.raises(UnsupportedArchitecture, match="attention 'sharper'"):
        count_sources(model, {"input_ids": torch.tensor([IDS])})
    for name in ("sdpa", "renamed"):
        model = llama(name)
        expected = logit(model)
        with topk.use(model, k=5):
            assert logit(model) == pytest.approx(expected, rel=1e-5)


def test_a_look_at_what_is_set_is_taken_on_first_use_only() -> None:
    model, runs = llama("sdpa"), []
    lens = normlens.load((model, None))
    watch = torch.nn.modules.module.register_module_forward_hook(lambda m, *_: runs.append(m) if m is model else None)
    counts = []
    for change in (None, None, "sharper", None):
        if change is not None:
            model.set_attn_implementation(change)
        lens.attribute(IDS, target=1)
        counts.append(len(runs))
        runs.clear()
    watch.remove()
    assert counts[1] == counts[3] == 1 < counts[0]
    assert counts[2] > 1
