"""AER, precision and recall by hand, and the published numbers of two aligners."""

import math
import os
from pathlib import Path

import pytest

from normlens.alignment import LinkSets, difference, evaluate, read_links
from normlens.errors import InvalidInput

# |A|, |S|, |A∩S|, |A∩P| of the three pairs: 3 2 1 2; 1 1 1 1; 2 2 0 1.
GOLD = "1-1 2-2 2p3\n1-2\n1-1 2-2 1p2\n"
HYPOTHESIS = "0-0 1-2 1-0\n0-1\n0-1 1-0\n"


def _of(tmp_path: Path, text: str, base: int) -> list[LinkSets]:
    path = tmp_path / "links"
    path.write_text(text, encoding="utf-8")
    return list(read_links(path, base))


def test_three_pairs_by_hand(tmp_path: Path) -> None:
    scores = evaluate(_of(tmp_path, GOLD, 1), _of(tmp_path, HYPOTHESIS, 0))

    assert scores.aer == pytest.approx(1 - (2 + 4) / (6 + 5))
    assert scores.precision == pytest.approx(4 / 6)
    assert scores.recall == pytest.approx(2 / 5)
    assert (scores.sentences, scores.links, scores.sure, scores.possible) == (3, 6, 5, 7)


def test_the_gold_alignment_itself_has_no_error(tmp_path: Path) -> None:
    gold = _of(tmp_path, GOLD, 1)

    assert evaluate(gold, gold).aer == 0.0


def test_pairs_that_are_all_alike_leave_nothing_to_chance(tmp_path: Path) -> None:
    scores = evaluate(_of(tmp_path, "1-1 2-2\n" * 9, 1), _of(tmp_path, "0-0\n" * 9, 0))

    assert scores.aer_interval == pytest.approx((1 / 3, 1 / 3))
    assert scores.recall_interval == pytest.approx((0.5, 0.5))


def test_the_interval_is_that_of_a_binomial_share(tmp_path: Path) -> None:
    # 400 pairs of one link, every second right: the recall of a resample is Binomial(400, ½) / 400.
    scores = evaluate(_of(tmp_path, "1-1\n" * 400, 1), _of(tmp_path, "0-0\n1-1\n" * 200, 0), resamples=4000)

    spread = 1.96 * math.sqrt(0.25 / 400)
    assert scores.recall_interval == pytest.approx((0.5 - spread, 0.5 + spread), abs=0.006)


def test_an_alignment_without_links_has_error_one_and_no_precision(tmp_path: Path) -> None:
    scores = evaluate(_of(tmp_path, GOLD, 1), _of(tmp_path, "\n\n\n", 0))

    assert scores.aer == 1.0
    assert math.isnan(scores.precision)
    assert scores.as_dict()["precision"] is None


def test_the_interval_of_a_difference_is_that_of_what_differs(tmp_path: Path) -> None:
    # Of 400 pairs of one link, 200 are wrong in both alignments, and 40 more in the second: the difference in AER of a
    # resample is -Binomial(400, 0.1) / 400, much narrower than either AER's own interval.
    gold = _of(tmp_path, "1-1\n" * 400, 1)
    one = _of(tmp_path, "0-0\n" * 200 + "1-1\n" * 200, 0)
    other = _of(tmp_path, "0-0\n" * 160 + "1-1\n" * 240, 0)

    gap = difference(gold, one, other, resamples=4000)

    spread = 1.96 * math.sqrt(0.1 * 0.9 / 400)
    assert gap.aer == pytest.approx(evaluate(gold, one).aer - evaluate(gold, other).aer)
    assert gap.aer_interval == pytest.approx((-0.1 - spread, -0.1 + spread), abs=0.004)
    assert difference(gold, one, one).as_dict() == {"aer": 0.0, "aer_interval": [0.0, 0.0]}


def test_one_pair_has_no_interval(tmp_path: Path) -> None:
    scores = evaluate(_of(tmp_path, "1-1\n", 1), _of(tmp_path, "0-0\n", 0))

    assert all(math.isnan(bound) for bound in scores.aer_interval)
    gold = _of(tmp_path, "1-1\n", 1)
    assert difference(gold, gold, gold).as_dict() == {"aer": 0.0, "aer_interval": [None, None]}


@pytest.mark.parametrize(("gold", "hypothesis"), [("1-1\n", "0-0\n0-0\n"), ("1-1\n1-1\n", "0-0\n")])
def test_files_of_different_length_are_refused(tmp_path: Path, gold: str, hypothesis: str) -> None:
    with pytest.raises(InvalidInput, match="has only 1 sentence pairs"):
        evaluate(_of(tmp_path, gold, 1), _of(tmp_path, hypothesis, 0))


def test_gold_without_a_sure_link_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no sure links in its 1"):
        evaluate(_of(tmp_path, "1p1\n", 1), _of(tmp_path, "0-0\n", 0))


DATA = Path(os.environ.get("NORMLENS_DATA", "")) / "deen"


@pytest.mark.skipif(not (DATA / "gold" / "alignment.talp").is_file(), reason="NORMLENS_DATA holds no deen/gold")
@pytest.mark.parametrize(
    ("name", "aer"),
    [
        ("fastalign.test.deen.grow-diagonal", 27.0),
        ("giza.test.deen", 21.0),
        ("giza.test.deen.grow-diagonal-final", 20.6),
    ],
)
def test_the_known_values_of_fast_align_and_mgiza(name: str, aer: float) -> None:
    scores = evaluate(read_links(DATA / "gold" / "alignment.talp", 1), read_links(DATA / "baselines" / f"{name}.talp"))

    assert round(100 * scores.aer, 1) == aer
