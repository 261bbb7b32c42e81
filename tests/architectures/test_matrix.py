"""Every model type of the matrix: heard, followed, adding up, equal to explicit vectors — or refused with the reason.

With ``NORMLENS_WRITE_TABLES=1`` the summary is written to ``docs/tables/architectures.md``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from normlens.anatomy import describe, require_attention_scope
from normlens.capture import attention_implementation, capturing, has_interface
from normlens.errors import ConservationError, UnsupportedArchitecture
from normlens.measuring import check_conservation, measure
from normlens.observing import observing
from normlens.tolerance import TOLERANCES
from normlens.tracing import Tracer, unheard
from normlens.verification import verify_pairs

from . import tiny

FROZEN = Path(__file__).parent / "results" / "frozen.tsv"
TABLE = Path(__file__).parents[2] / "docs" / "tables" / "architectures.md"
LIMIT = TOLERANCES[torch.float32]


@dataclass
class Finding:
    """What came of one model type."""

    model_type: str
    model_class: str
    groups: list[str] = field(default_factory=list)
    families: list[str] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    blocks: int = 0
    errors: dict[str, float] = field(default_factory=dict)
    pairs: float = 0.0
    output_gap: float = 0.0
    unheard: list[str] = field(default_factory=list)
    refused: str | None = None

    @property
    def in_every_block(self) -> list[str]:
        """Scopes that every attention block of the model has."""
        return [] if self.refused else self.scopes


def look(model_type: str) -> Finding:
    """Run a tiny float32 model untouched and watched, and check everything that the engine claims about it."""
    model = tiny.build(model_type)
    finding = Finding(model_type, type(model).__name__)
    ways = [capturing, observing] if has_interface(model) else [observing]
    for way in ways:
        try:
            _watch(model, tiny.inputs(model_type, model), way, finding)
            finding.refused = None
            return finding
        except (UnsupportedArchitecture, ConservationError) as error:
            finding.refused = finding.refused or f"{type(error).__name__}: {error}"
    return finding


def _watch(
    model: PreTrainedModel,
    inputs: dict[str, Tensor],
    way: Callable[..., AbstractContextManager[None]],
    finding: Finding,
) -> None:
    tracer = Tracer(model, on_block=lambda block: None, complete=lambda block: False)
    with torch.no_grad(), attention_implementation(model, "eager"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untouched = model(**inputs)
        torch.manual_seed(0)
        with way(model, tracer.hear), tracer.watching():
            watched = model(**inputs)
    anatomy = [describe(block) for block in tracer.open_blocks]
    require_attention_scope(anatomy, model)
    finding.output_gap = _gap(untouched, watched)
    if not finding.output_gap <= LIMIT:
        raise UnsupportedArchitecture(f"its output changes by {finding.output_gap:.1e} when its attention is heard")
    errors: dict[str, float] = {}
    pairs = 0.0
    for block, known in zip(tracer.open_blocks, anatomy, strict=True):
        pairs = max(pairs, verify_pairs(block, known.scopes, torch.float32))
        for measures in measure(block, known.scopes):
            check_conservation(measures, block.path, torch.float32, None)
            for scope, error in measures.conservation_error.items():
                errors[scope] = max(errors.get(scope, 0.0), float(error.max()))
    finding.groups = list(dict.fromkeys(known.group for known in anatomy))
    finding.families = list(dict.fromkeys(known.family for known in anatomy))
    finding.scopes = [scope for scope in errors if all(scope in known.scopes for known in anatomy)]
    finding.unheard = unheard(tracer.ran_attention, [known.path for known in anatomy])
    finding.blocks, finding.errors, finding.pairs = len(anatomy), errors, pairs


def _gap(untouched: Any, watched: Any) -> float:
    """Largest difference between two outputs relative to the untouched one's length, over all their tensors."""
    gaps = [0.0]
    for one, other in zip(_tensors(untouched), _tensors(watched), strict=True):
        gaps.append(float((one - other).norm() / one.norm().clamp_min(torch.finfo(one.dtype).tiny)))
    return max(gaps)


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, dict):
        output = list(output.values())
    return [x for part in output for x in _tensors(part)] if isinstance(output, list | tuple) else []


@pytest.fixture(scope="session")
def finding_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finding]:
    """Findings by model type, each made once, also when several processes share the work."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "findings"
    shared.mkdir(exist_ok=True)

    def get(model_type: str) -> Finding:
        file = shared / f"{model_type}.json"
        if not file.exists():
            unfinished = shared / f"{model_type}.{os.getpid()}"
            unfinished.write_text(json.dumps(asdict(look(model_type))))
            unfinished.replace(file)
        return Finding(**json.loads(file.read_text()))

    return get


_REFUSED = """
canine cohere_compass_vision convbert cosmos3_edge_vision deepseek_v4 diffllama ernie4_5_vl_moe_vision
exaone4_5_vision gemma4_audio glm4v_moe_vision glm4v_vision glm5_next_vision glm_image_vision
glm_ocr_vision granite_speech5_ctc granite_speech5_encoder granite_speech_encoder granite_speech_plus_encoder hiera
higgs_audio_v2 hunyuan_vl_vision hy_v4 jetmoe lfm3_vl_vision longformer luke minimax_m3_vl_vision mra
muse_spark_text neomme nystromformer qwen2_5_omni_vision_encoder qwen2_5_vl_vision qwen2_vl_vision
qwen3_5_moe_vision qwen3_5_vision qwen3_omni_moe_vision_encoder qwen3_vl_moe_vision qwen3_vl_vision qwen4_exp_vision
reformer squeezebert swiftformer wavlm yoso
"""
REFUSED = frozenset(_REFUSED.split())
"""Types that are known to be refused; a type that is refused and not listed here is a step back."""


@pytest.mark.parametrize("model_type", tiny.model_types())
def test_numbers_are_right_or_withheld(model_type: str, finding_of: Callable[[str], Finding]) -> None:
    finding = finding_of(model_type)
    if finding.refused is not None:
        assert model_type in REFUSED, finding.refused
        return
    assert finding.blocks > 0
    assert "attention" in finding.scopes
    assert finding.output_gap <= LIMIT
    assert finding.pairs <= LIMIT
    assert all(error <= LIMIT for error in finding.errors.values()), finding.errors


def test_the_matrix_is_broad(finding_of: Callable[[str], Finding]) -> None:
    findings = [finding_of(model_type) for model_type in tiny.model_types()]
    reached = {scope: sum(scope in f.in_every_block for f in findings) for scope in ("attention", "residual")}
    layernorm = sum("layernorm" in f.errors for f in findings if f.refused is None)
    assert reached["attention"] >= 180
    assert reached["residual"] >= 110
    assert layernorm >= 60
    families = {family for f in findings if f.refused is None for family in f.families}
    assert families >= {"post-norm", "pre-norm", "sandwich", "parallel"}
    if os.environ.get("NORMLENS_WRITE_TABLES") == "1":
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text(table(findings, reached, layernorm), encoding="utf-8")


def table(findings: list[Finding], reached: dict[str, int], layernorm: int) -> str:
    """The summary as Markdown: what is measured, and what is refused and why."""
    measured = [f for f in findings if f.refused is None]
    refused = [f for f in findings if f.refused is not None]
    frozen = frozen_errors()
    lines = [
        f"{len(findings)} model types: {reached['attention']} measured at scope `attention`, {reached['residual']} of "
        f"them at `residual` in every block, {layernorm} with blocks at `layernorm`; {len(refused)} refused. Random "
        "tiny models in float32; the error is the largest over scopes, layers and targets. "
        f"{len(frozen)} types pass every check of `frozen`; that column holds the larger of the conservation error and "
        "the gap between pull back and push forward, in float64.",
        "",
        "| model type | class | family | groups | blocks | scopes | conservation error | frozen |",
        "| --- | --- | --- | --- | --: | --- | --: | --: |",
    ]
    for f in measured:
        scopes = ", ".join(s if s in f.scopes else f"{s} (some blocks)" for s in f.errors)
        worst = max(f.errors.values())
        lines.append(
            f"| {f.model_type} | {f.model_class} | {', '.join(f.families)} | {', '.join(f.groups)} | {_blocks(f)} | "
            f"{scopes} | {worst:.0e} | {frozen.get(f.model_type, 'refused')} |"
        )
    lines += ["", "| refused | class | reason |", "| --- | --- | --- |"]
    lines += [f"| {f.model_type} | {f.model_class} | {_reason(f)} |" for f in refused]
    return "\n".join([*lines, ""])


def frozen_errors() -> dict[str, str]:
    """Model types that pass the checks of `frozen`, with their error; as test_frozen_matrix.py last wrote them."""
    if not FROZEN.is_file():
        return {}
    rows = [line.split("\t") for line in FROZEN.read_text(encoding="utf-8").splitlines()[1:]]
    return {row[0]: f"{max(float(row[3]), float(row[4])):.0e}" for row in rows}


def _blocks(finding: Finding) -> str:
    without = f" ({len(finding.unheard)} more not measured)" if finding.unheard else ""
    return f"{finding.blocks}{without}"


def _reason(finding: Finding) -> str:
    return (finding.refused or "").partition(": ")[2].split(". ")[0].split("; expected")[0].replace("|", "\\|")


def test_the_types_left_out_and_those_of_the_matrix_are_all_types() -> None:
    from transformers import CONFIG_MAPPING

    assert not set(tiny.model_types()) & tiny.LEFT_OUT.keys()
    assert set(tiny.model_types()) | tiny.LEFT_OUT.keys() == set(CONFIG_MAPPING.keys())
