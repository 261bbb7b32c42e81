"""The rank of the word that decides SmolLM2's next token, by every method and by chance, position and leave-one-out.

``python -m reproduce evidence``. The methods explain the difference of two tokens' logits at the last position:
the right one, and the one that follows from another deciding word. Open options of a method are chosen on the
dev frames; the table is measured on the others. Each part of the result is kept until it is measured again, so that
``--parts`` can measure them one at a time.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import xarray as xr
from jaxtyping import Bool, Float
from scipy.stats import rankdata

import normlens
from normlens import Lens
from normlens.errors import NormLensError
from normlens.faithfulness import Units, words_of
from normlens.faithfulness.erasure.baselines import first, last, length
from normlens.inputs.tokenization import encode_text
from normlens.inputs.tokens import Tokens
from reproduce.attribution.candidates import Candidate, method_of
from reproduce.evidence.candidates import CANDIDATES
from reproduce.evidence.page import LEAVE_ONE_OUT, drawn, page
from reproduce.evidence.prompts import KINDS, Prompt, prompts
from reproduce.study.kept import keep, kept, numbers_of, printed, write
from reproduce.study.options import study_parser

NAME = "evidence"
POSITIONS = {"nearest word": last, "first word": first, "longest word": length}
"""Orders of the words that need no model."""

Scores = list[Float[np.ndarray, " word"]]
Result = dict[str, Any]


@dataclass(frozen=True)
class Read:
    """A prompt as a model reads it.

    Attributes
    ----------
    prompt
        The prompt as text.
    tokens
        Its tokens.
    units
        Its words.
    place
        Number of the deciding word.
    answers
        Ids of the right token and of the foil.
    """

    prompt: Prompt
    tokens: Tokens
    units: Units
    place: int
    answers: tuple[int, int]


def rank(scores: Float[np.ndarray, " word"], evidence: int, *, first: bool) -> float:
    """Rank of the evidence among the words, 1 for the highest score; words of equal score share their mean rank.

    Parameters
    ----------
    scores
        One for each word.
    evidence
        Number of the deciding word, which is not the first word.
    first
        Whether the first word is ranked too.
    """
    start = 0 if first else 1
    return float(rankdata(-scores[start:])[evidence - start])


def word_scores(result: xr.DataArray, units: Units) -> Float[np.ndarray, " word"]:
    """Scores of words from an attribution of one text: the last row of a map, the sum over components.

    Scores of a word's tokens are summed; special tokens belong to no word.
    """
    if "target" in result.dims:
        result = result.isel(target=-1)
    if "component" in result.dims:
        result = result.sum("component")
    return units.scores(result.values)


def read(lens: Lens, prompt: Prompt) -> Read:
    """Locate a prompt's words, its deciding word and its answers in its tokens."""
    tokenizer: Any = lens.tokenizer
    tokens = encode_text(tokenizer, prompt.text)
    last = prompt.text.index(prompt.evidence) + len(prompt.evidence) - 1
    [inside] = np.flatnonzero((tokens.offsets[:, 0] <= last) & (last < tokens.offsets[:, 1]))
    units = words_of(tokens)
    [right], [foil] = (tokenizer.encode(x, add_special_tokens=False) for x in (prompt.right, prompt.foil))
    return Read(prompt, tokens, units, int(units.of_token[inside]), (right, foil))


def difference(lens: Lens, one: Read, kept: Bool[np.ndarray, " token"] | None = None) -> float:
    """The logit of the right token minus that of the foil after a prompt, or after some of its tokens."""
    ids = torch.tensor(one.tokens.ids if kept is None else one.tokens.ids[kept], device=lens.model.device)
    with torch.no_grad():
        right, foil = lens.model(input_ids=ids[None]).logits[0, -1, list(one.answers)].tolist()
    return float(right - foil)


def without_each_word(lens: Lens, one: Read) -> Float[np.ndarray, " word"]:
    """The drop of the difference of the two logits when a word is deleted, for each word."""
    rest = [difference(lens, one, one.units.of_token != word) for word in range(len(one.units))]
    return difference(lens, one) - np.array(rest)


def decided(lens: Lens, asked: Sequence[Prompt]) -> tuple[list[Read], dict[str, dict[str, int]]]:
    """The prompts of frames in which the model gives the right answer to both, and how many there are of each kind.

    Only there the deciding word matters: with one right answer of two, the model may merely prefer that answer.
    """
    right = [one for one in (read(lens, prompt) for prompt in asked) if difference(lens, one) > 0]
    frames = Counter((one.prompt.kind, one.prompt.frame) for one in right)
    pairs = [one for one in right if frames[one.prompt.kind, one.prompt.frame] == 2]
    some = {"asked": asked, "right": [one.prompt for one in right], "pairs": [one.prompt for one in pairs]}
    return pairs, {name: {kind: sum(p.kind == kind for p in of) for kind in KINDS} for name, of in some.items()}


def answers(lens: Lens, asked: Sequence[Read], candidate: Candidate, batch_size: int) -> list[xr.DataArray]:
    """A candidate's answer to every prompt.

    Raises
    ------
    NormLensError
        If the method can't explain this model.
    """
    options: dict[str, Any] = {**candidate.options, **({"scope": candidate.scope} if candidate.scope else {})}
    if "tolerance" in method_of(candidate).options:  # ranked anyway; the page states how much is missing
        options["tolerance"] = math.inf
    if candidate.target is not None:
        options["target"] = [(one.prompt.right, one.prompt.foil) for one in asked]
    print(f"{candidate.name} on {len(asked)} prompts", file=sys.stderr, flush=True)
    return list(
        lens.attribute([one.prompt.text for one in asked], method=candidate.method, batch_size=batch_size, **options)
    )


def scored(asked: Sequence[Read], results: Sequence[xr.DataArray]) -> Scores:
    """Scores of every prompt's words."""
    return [word_scores(result, one.units) for result, one in zip(results, asked, strict=True)]


def ranks(scores: Scores, asked: Sequence[Read]) -> dict[str, list[float]]:
    """Ranks of the evidence in each prompt, among all words and without the first one."""
    pairs = list(zip(scores, asked, strict=True))
    return {
        among: [rank(values, one.place, first=first) for values, one in pairs]
        for among, first in (("all", True), ("rest", False))
    }


def choose(lens: Lens, asked: Sequence[Prompt], candidates: Sequence[Candidate], path: Path, batch_size: int) -> Result:
    """On the dev frames, try the candidates of rows that have several; the highest mean reciprocal rank is chosen."""
    dev, _ = decided(lens, [prompt for prompt in asked if prompt.is_dev])
    rows = Counter(candidate.row for candidate in candidates)
    tried: list[dict[str, Any]] = []
    best: dict[str, tuple[float, str]] = {}
    for candidate in (candidate for candidate in candidates if rows[candidate.row] > 1):
        mrr = float(np.mean(1 / np.array(ranks(scored(dev, answers(lens, dev, candidate, batch_size)), dev)["all"])))
        tried.append({"row": candidate.row, "choice": candidate.choice, "mrr": round(mrr, 5)})
        if candidate.row not in best or mrr > best[candidate.row][0]:
            best[candidate.row] = mrr, candidate.name
    return {"dev": len(dev), "candidates": tried, "chosen": {row: name for row, (_, name) in best.items()}}


def test(lens: Lens, asked: Sequence[Prompt], candidates: Sequence[Candidate], path: Path, batch_size: int) -> Result:
    """On the other frames, rank by the chosen candidates, by the effect of deleting each word, and by baselines.

    Each candidate's answers are kept in a file until all are done, so that an interrupted run can resume.

    Raises
    ------
    NormLensError
        If nothing was chosen on dev.
    """
    chosen = kept(path).get("choose", {}).get("chosen")
    if chosen is None:
        raise NormLensError("No candidate has been chosen on the dev frames yet. Measure the part 'choose' first.")
    _, counts = decided(lens, asked)
    tested, _ = decided(lens, [prompt for prompt in asked if not prompt.is_dev])
    there = [candidate for candidate in candidates if chosen.get(candidate.row, candidate.name) == candidate.name]
    unfinished = path.with_name(f"{path.stem}_unfinished.json")
    for candidate in there:
        if kept(unfinished).get(candidate.name, {}).get("texts") != [one.prompt.text for one in tested]:
            keep(unfinished, candidate.name, said(lens, tested, candidate, batch_size))
    by_row = {candidate.row: kept(unfinished)[candidate.name] for candidate in there}
    scores = {row: list(map(np.array, answer["scores"])) for row, answer in by_row.items() if "scores" in answer}
    scores[LEAVE_ONE_OUT] = [without_each_word(lens, one) for one in tested]
    signed = [
        candidate.row
        for candidate in there
        if candidate.row in scores and candidate.target and method_of(candidate).signed
    ] + [LEAVE_ONE_OUT]
    baselines = {name: [score(one.units) for one in tested] for name, score in POSITIONS.items()}
    unfinished.unlink()
    return {
        "counts": counts,
        "prompts": [{**asdict(one.prompt), "place": one.place, "words": len(one.units)} for one in tested],
        "ranks": {row: ranks(values, tested) for row, values in (scores | baselines).items()},
        "by_magnitude": {row: ranks([np.abs(x) for x in scores[row]], tested) for row in signed},
        "refused": {row: answer["refused"] for row, answer in by_row.items() if "refused" in answer},
        "conservation_errors": {row: answer["error"] for row, answer in by_row.items() if "error" in answer},
    }


def said(lens: Lens, asked: Sequence[Read], candidate: Candidate, batch_size: int) -> Result:
    """Scores of every prompt's words, or its refusal; for integrated gradients, the median conservation error."""
    about: Result = {"texts": [one.prompt.text for one in asked]}
    try:
        results = answers(lens, asked, candidate, batch_size)
    except NormLensError as error:
        return {**about, "refused": str(error)}
    if candidate.method == "integrated_gradients":
        about["error"] = float(np.median([result.attrs["conservation_error"] for result in results]))
    return {**about, "scores": [values.tolist() for values in scored(asked, results)]}


PARTS: dict[str, Callable[..., Result]] = {"choose": choose, "test": test}
"""The parts of the result, in the order of their dependencies."""


def measure(
    lens: Lens, path: Path, parts: Sequence[str], candidates: Sequence[Candidate] = CANDIDATES, batch_size: int = 8
) -> None:
    """Measure some of :data:`PARTS`, and keep each in the JSON file.

    Parameters
    ----------
    lens
        A lens on a decoder with a head.
    path, parts
        The file, and names of the parts.
    candidates
        The methods.
    batch_size
        Maximum number of prompts per forward pass.
    """
    about = {
        "model": lens.name,
        "normlens": normlens.__version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }
    for part in (part for part in PARTS if part in parts):
        keep(path, part, {**about, **PARTS[part](lens, prompts(), candidates, path, batch_size)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as set on the command line, or redraw kept results; print the page and keep it."""
    parser = study_parser(__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a decoder (default: %(default)s)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--batch-size", type=int, default=8, help="prompts per batch (default: 8)")
    options = parser.parse_args(arguments)
    path = numbers_of(NAME, options.output)

    def work() -> str:
        if not options.redraw:
            measure(normlens.load(options.model), path, options.parts, batch_size=options.batch_size)
        results = kept(path)
        if "test" not in results:
            raise NormLensError(f"{path} holds no ranks. Measure the parts 'choose' and 'test' first.")
        return write(NAME, page(results), drawn(results), options.output)

    return printed(work)
