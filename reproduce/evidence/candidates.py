"""The methods that the evidence table ranks by, with the options that are chosen on dev."""

from __future__ import annotations

from reproduce.attribution.candidates import MAPS, Candidate

BASELINES_TRIED = ("zero", "mean")
"""Baselines that a path to the text may start from; SmolLM2 has no mask token."""

CANDIDATES = (
    Candidate("DecompX", "decompx", target="difference"),
    *(
        Candidate("DecompX, averaged", "decompx", target="difference", options={"steps": 5, "baseline": b})
        for b in BASELINES_TRIED
    ),
    Candidate("direct logit attribution", "logit", target="difference"),
    Candidate("ALTI-Logit", "alti_logit", target="difference"),
    Candidate("gradient × input", "gradient_input", target="difference"),
    *(
        Candidate("integrated gradients", "integrated_gradients", target="difference", options={"steps": 20, "baseline": b})
        for b in BASELINES_TRIED
    ),
    *MAPS,
    Candidate("ALTI+", "alti_plus"),
)  # fmt: skip
"""Every method; of several candidates for a row, one is chosen on dev."""
