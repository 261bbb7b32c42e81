"""The published numbers, each with its model and where it was read. What was not read is not here."""

from __future__ import annotations

KOBAYASHI_2020 = (
    "Kobayashi et al. 2020, “Attention is Not Only a Weight”, <https://aclanthology.org/2020.emnlp-main.574/>"
)
KOBAYASHI_2021 = (
    "Kobayashi et al. 2021, “Incorporating Residual and Normalization Layers into Analysis of Masked Language Models”, "
    "<https://aclanthology.org/2021.emnlp-main.373/>"
)
NOTEBOOK_2021 = (
    "the authors' notebook, <https://github.com/gorokoba560/norm-analysis-of-transformer>, `emnlp2021/run.ipynb`"
)
CLARK_PORT = "an independent port, <https://github.com/joanAcero/clark-attention-analysis>"
WORKSHOP_2020 = (
    "the abstract of the ACL 2020 student workshop version, <https://virtual.acl2020.org/paper_srw.115.html>"
)

SEP_SHARE = {"weight": "50–57 %", "norm": "10–17 %"}
"""Share going to [SEP] in BERT-base, layers 6 to 10 (CLARK_PORT)."""

RATIOS = ("Attn-W", "Attn-N", "AttnRes-W", "AttnRes-N", "AttnResLn-N")
"""Names of the five mixing ratios, in the order of the paper."""

MIXING_RATIO = {
    "BERT-base": dict(zip(RATIOS, (97.1, 85.2, 48.6, 22.3, 18.8), strict=True)),
    "RoBERTa-base": dict(zip(RATIOS, (95.8, 84.4, 47.9, 19.6, 16.2), strict=True)),
}
"""Mean mixing ratio in percent (KOBAYASHI_2021, table 1)."""

MIXING_RATIO_BY_SIZE = {
    "BERT-large": 14.9,
    "BERT-medium": 18.7,
    "BERT-small": 27.2,
    "BERT-mini": 26.4,
    "BERT-tiny": 37.3,
    "RoBERTa-large": 19.7,
}
"""Mean AttnResLn-N in percent for the other sizes (KOBAYASHI_2021)."""

NOTEBOOK_WEIGHT_RATIO = {"Attn-W": 96.41, "AttnRes-W": 48.21}
"""What the notebook prints for BERT-base where it differs from the paper (NOTEBOOK_2021)."""

FREQUENCY_CORRELATION = dict(zip(RATIOS, (0.16, -0.39, 0.16, -0.84, -0.54), strict=True))
"""Spearman of frequency rank with the mixing ratio, BERT-base, all tokens (KOBAYASHI_2021, table 2)."""

FREQUENCY_CORRELATION_ORDINARY = dict(zip(RATIOS, (0.144, -0.413, 0.144, -0.860, -0.577), strict=True))
"""The same without [CLS] and [SEP] (NOTEBOOK_2021)."""

FAST_ALIGN_AER = {"forward": 34.6, "reverse": 36.4, "grow-diag": 32.1}
"""fast_align on the same 508 sentences, trained on 182,905 pairs of the same texts, the test sentences included."""

ALIGNMENT_AER = {
    ("awo", "weight"): {"layer mean": 68.4, "best layer": 47.7},
    ("awo", "norm"): {"layer mean": 62.9, "best layer": 41.4, "layer of highest norm": 83.0},
    ("awi", "weight"): {"layer mean": 68.5, "best layer": 29.8},
    ("awi", "norm"): {"layer mean": 60.5, "best layer": 25.0, "layer of highest norm": 25.0},
}
"""AER in % of Kobayashi et al. 2020: mean of five seeds, 6 + 6 layers, 1.9 million pairs of Europarl."""
