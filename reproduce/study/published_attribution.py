"""The published numbers on attribution, each with where it was read. What was not read is not here."""

from __future__ import annotations

MODARRESSI_2023 = "Modarressi et al. 2023, “DecompX”, <https://aclanthology.org/2023.acl-long.149/>"
MODARRESSI_2022 = "Modarressi et al. 2022, “GlobEnc”, <https://aclanthology.org/2022.naacl-main.19/>"
GLOBENC_RUN = "the run that is stored with GlobEnc's code, <https://github.com/mohsenfayyaz/GlobEnc>"
ALTI_RUN = "the run that is stored with ALTI's code, <https://github.com/mt-upc/transformer-contributions>"

DECOMPX_SST2: dict[str, tuple[float | None, float]] = {
    "DecompX": (40.8, 0.627),
    "DecompX without feed-forward": (None, 0.494),
    "ALTI": (57.7, 0.416),
    "integrated gradients": (64.5, 0.340),
    "GlobEnc with feed-forward": (64.9, 0.326),
    "gradient × input": (66.7, 0.310),
    "GlobEnc (N-Enc)": (67.1, 0.307),
    "DecompX without the head": (None, 0.288),
}
"""Accuracy in percent and AOPC while masking, SST-2, fine-tuned BERT-base (MODARRESSI_2023)."""

GLOBENC_SST2 = {"W": -0.11, "W-Res": 0.19, "N": 0.44, "N-Res": 0.73, "N-ResLN": -0.21, "N-Enc": 0.77}
"""Spearman of the rolled-out map's [CLS] row at the last layer with gradient saliency, SST-2, BERT-base (GLOBENC_RUN)."""

ALTI_SST2 = {
    "ALTI": (0.269, 0.057),
    "integrated gradients": (0.231, 0.067),
    "attention rollout": (0.076, 0.179),
}
"""Comprehensiveness and sufficiency, SST-2, RoBERTa (ALTI_RUN)."""
