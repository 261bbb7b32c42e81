"""Every model type of the matrix, as a user gets it: analyzed, adding up, equal to explicit vectors, or refused.

With ``NORMLENS_WRITE_TABLES=1`` the summary is written to ``docs/tables/architectures.md``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

import normlens
from normlens.engine.tolerance import TOLERANCES
from normlens.engine.tracing.scopes import ATTENTION_SCOPES
from normlens.errors import NormLensError

from . import tiny

FROZEN = Path(__file__).parent / "results" / "frozen.tsv"
TABLE = Path(__file__).parents[2] / "docs" / "tables" / "architectures.md"
LIMIT = TOLERANCES[torch.float32]


@dataclass
class Finding:
    """What came of one model type, as a user gets it."""

    model_type: str
    model_class: str
    groups: list[str] = field(default_factory=list)
    families: list[str] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    blocks: int = 0
    errors: dict[str, float] = field(default_factory=dict)
    pairs: float = 0.0
    unheard: list[str] = field(default_factory=list)
    refused: str | None = None

    @property
    def in_every_block(self) -> list[str]:
        """Scopes that every attention block of the model has."""
        return [] if self.refused else self.scopes


def look(model_type: str) -> Finding:
    """Analyze a tiny float32 model, on what its processor or tokenizer would return, as one input."""
    model = tiny.build(model_type)
    finding = Finding(model_type, type(model).__name__)
    inputs = {name: x for name, x in tiny.inputs(model_type, model, batch=1).items() if isinstance(x, Tensor)}
    try:
        analysis = normlens.load((model, None)).analyze(inputs)
    except NormLensError as error:
        finding.refused = f"{type(error).__name__}: {error}"
        return finding
    data = [analysis[name].data for name in analysis.groups]
    for scope in ATTENTION_SCOPES:
        errors = [group.conservation_error.sel(scope=scope) for group in data]
        if any(bool(x.notnull().any()) for x in errors):
            finding.errors[scope] = max(float(x.max()) for x in errors if bool(x.notnull().any()))
        if all(bool(x.notnull().all()) for x in errors):
            finding.scopes.append(scope)
    finding.groups = list(dict.fromkeys(group.attrs["kind"] for group in data))
    finding.families = list(dict.fromkeys(name for group in data for name in group.attrs["family"].split(", ")))
    finding.blocks, finding.pairs = sum(group.sizes["layer"] for group in data), analysis.attrs["vector_error"]
    finding.unheard = [path for path in analysis.attrs["not_measured"].split(", ") if path]
    return finding


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
blip_2_qformer cohere_compass_vision convbert deepseek_v4 dia dia_decoder diffllama donut-swin ernie4_5_vl_moe_vision
exaone4_5_vision flava_multimodal_model gemma4_audio glm4v_moe_vision glm4v_vision glm5_next_vision glm_ocr_vision
granite_speech5_ctc granite_speech5_encoder granite_speech_encoder granite_speech_plus_encoder hiera hy_v4 jetmoe
kyutai_speech_to_text longformer luke maskformer-swin mobilevit mra muse_spark_text neomme nystromformer
qwen2_5_omni_vision_encoder qwen2_5_vl_vision qwen2_vl_vision qwen3_5_moe_vision qwen3_5_vision
qwen3_omni_moe_vision_encoder qwen3_vl_moe_vision qwen3_vl_vision qwen4_exp_vision reformer rf_detr_dinov2
sam3_vision_model sam3_vit_model squeezebert swiftformer swin swin2sr swinv2 timesformer videomt wavlm yoso
"""
REFUSED = frozenset(_REFUSED.split())
"""Types that are refused; a type that is refused and not listed here is a step back."""


@pytest.mark.parametrize("model_type", tiny.model_types())
def test_numbers_are_right_or_withheld(model_type: str, finding_of: Callable[[str], Finding]) -> None:
    finding = finding_of(model_type)
    if finding.refused is not None:
        assert model_type in REFUSED, finding.refused
        return
    assert model_type not in REFUSED
    assert finding.blocks > 0
    assert "attention" in finding.scopes
    assert finding.pairs <= LIMIT
    assert all(error <= LIMIT for error in finding.errors.values()), finding.errors


def test_the_matrix_is_broad(finding_of: Callable[[str], Finding]) -> None:
    findings = [finding_of(model_type) for model_type in tiny.model_types()]
    reached = {scope: sum(scope in f.in_every_block for f in findings) for scope in ("attention", "residual")}
    layernorm = sum("layernorm" in f.errors for f in findings if f.refused is None)
    assert reached["attention"] >= 480
    assert reached["residual"] >= 455
    assert layernorm >= 70
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
