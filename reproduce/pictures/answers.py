"""The pictures of whole answers: every word of an answer by every source, and the passage that an answer comes from."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import normlens
from normlens import figures
from normlens.attribution import Attribution, LogProbability

PROMPT = [{"role": "user", "content": "The cat slept on the sofa, and the dog slept on the rug. Who slept on the rug?"}]
DOCUMENTS = (
    "The Eiffel Tower was completed in 1889. It stands in Paris and is 330 metres tall.",
    "The Brandenburg Gate stands in Berlin. It was finished in 1791, and Napoleon passed through it.",
    "Basil is a herb. It grows well in pots.",
)
QUESTION = "When was the Brandenburg Gate finished?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Explain two answers of SmolLM2, write the pictures to docs/images, and print numbers and times."""
    lens = normlens.load("smollm2-135m")
    folder = Path(__file__).parents[2] / "docs" / "images"
    lens.attribute("Hello", generate=1)  # the model's first run is checked, which takes time
    start = time.perf_counter()
    answer = lens.attribute(PROMPT, generate=20)
    together = time.perf_counter() - start
    print(f"{answer.attrs['answer']!r}: {answer.sizes['target']} tokens by {answer.sizes['source']} sources")
    singly, gap = one_by_one(lens, answer)
    print(
        f"one call {together:.1f} s, one call for each token {singly:.1f} s; largest gap {gap:.0e} of the largest share"
    )
    context = {"context": DOCUMENTS, "question": QUESTION}
    passages = lens.attribute(context, generate=30, whole=True, spans="sentences")
    print(f"{passages.attrs['answer']!r}, log-probability {passages.attrs['value']:.2f}")
    for token, share in zip(passages["source_token"].values, passages.values, strict=True):
        print(f"{share:+7.2f}  {token}")
    for suffix in ("png", "svg"):
        print(figures.save(figures.answer_map(answer.words()), folder / f"answer.{suffix}"))
        print(figures.save(figures.source_bars(passages), folder / f"passages.{suffix}"))
    return 0


def one_by_one(lens: normlens.Lens, answer: Attribution) -> tuple[float, float]:
    """Seconds of an attribution for each token, and the largest difference from the rows of one call."""
    ids = [*answer["source_id"].values.tolist(), int(answer["target_id"].values[-1])]
    first, gap = len(ids) - answer.sizes["target"], 0.0
    start = time.perf_counter()
    for k in range(answer.sizes["target"]):
        alone = lens.attribute(ids[: first + k], target=LogProbability(ids[first + k])).values
        gap = max(gap, float(np.abs(alone - answer.values[k, : first + k]).max() / np.abs(alone).max()))
    return time.perf_counter() - start, gap
