"""The published numbers, read from ``published.toml``, which states what each one is and its source."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

_TABLES: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_SOURCES: dict[str, str] = _TABLES["sources"]


def _values(finding: str) -> dict[str, Any]:
    """Return the numbers of a finding; a source that it names must exist."""
    table = _TABLES[finding]
    if "source" in table and table["source"] not in _SOURCES:
        raise KeyError(f"published.toml: {finding} names the source {table['source']}, which is not in [sources]")
    values: dict[str, Any] = table["values"]
    return values


KOBAYASHI_2020 = _SOURCES["kobayashi_2020"]
KOBAYASHI_2021 = _SOURCES["kobayashi_2021"]
NOTEBOOK_2021 = _SOURCES["notebook_2021"]
CLARK_PORT = _SOURCES["clark_port"]
WORKSHOP_2020 = _SOURCES["workshop_2020"]
MODARRESSI_2023 = _SOURCES["modarressi_2023"]
MODARRESSI_2022 = _SOURCES["modarressi_2022"]
GLOBENC_RUN = _SOURCES["globenc_run"]
ALTI_RUN = _SOURCES["alti_run"]
NEGBERT = _SOURCES["negbert"]
ZHAO_BETHARD = _SOURCES["zhao_bethard_run"]

SEP_SHARE: dict[str, str] = _values("sep_share")
MIXING_RATIO: dict[str, dict[str, float]] = _values("mixing_ratio")
RATIOS = tuple(MIXING_RATIO["BERT-base"])
"""Names of the five mixing ratios, in the order of the paper."""
MIXING_RATIO_BY_SIZE: dict[str, float] = _values("mixing_ratio_by_size")
NOTEBOOK_WEIGHT_RATIO: dict[str, float] = _values("notebook_weight_ratio")
FREQUENCY_CORRELATION: dict[str, float] = _values("frequency_correlation")
FREQUENCY_CORRELATION_ORDINARY: dict[str, float] = _values("frequency_correlation_ordinary")
FAST_ALIGN_AER: dict[str, float] = _values("fast_align_aer")
ALIGNMENT_AER: dict[tuple[str, str], dict[str, float]] = {
    (setting, by): aer for setting, settings in _values("alignment_aer").items() for by, aer in settings.items()
}
"""(Setting, weight or norm) to AER by layer."""
DECOMPX_SST2: dict[str, tuple[float | None, float]] = {
    method: (numbers.get("accuracy"), numbers["aopc"]) for method, numbers in _values("decompx_sst2").items()
}
"""Method to accuracy and AOPC."""
NEGBERT_SCOPE: dict[str, float] = _values("negbert_scope")
LARGEST_SOURCE: dict[str, dict[str, float]] = _values("largest_source")
"""Model to the F1 of its heads by weight: their mean, and the best."""
GLOBENC_SST2: dict[str, float] = _values("globenc_sst2")
ALTI_SST2: dict[str, tuple[float, float]] = {
    method: (numbers["comprehensiveness"], numbers["sufficiency"]) for method, numbers in _values("alti_sst2").items()
}
"""Method to comprehensiveness and sufficiency."""
