"""Translations of the test set by the models of a family, kept as files, and differences of BLEU between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu import BLEU

from normlens import transfer
from normlens.bitext.raw_text import moses_joiner
from normlens.translation.translator import Translator
from reproduce.transfer.family import Family

Counts = NDArray[np.int64]
"""What BLEU is computed from, (sentence, 10): matches and n-grams of four lengths, words of translation and reference."""


class Translations:
    """Translations of the test set, sentence by sentence; each is made when it is first asked for."""

    def __init__(self, family: Family) -> None:
        self.family = family

    def by_parent(self) -> list[str]:
        """From French to English."""
        return self._kept("parent", "fr", "en", lambda: transfer.parent_translator(self.family.parent))

    def by_child(self, setting: str, seed: int) -> list[str]:
        """From German to English."""
        return self._kept(
            f"{setting}-{seed}",
            "de",
            "en",
            lambda: transfer.child_translator(self.family.parent, self._folder(setting, seed)),
        )

    def by_changed_body(self, setting: str, seed: int) -> list[str]:
        """From French to English, by a child's body with the parent's embeddings."""
        return self._kept(
            f"{setting}-{seed}",
            "fr",
            "en",
            lambda: transfer.parent_translator(self.family.parent, self._folder(setting, seed)),
        )

    def zero_shot(self, setting: str, seed: int) -> list[str]:
        """From German to French, by a child's embeddings in the body that restores French."""
        french = self.family.french_child(seed).folder
        return self._kept(
            f"{setting}-{seed}", "de", "fr",
            lambda: transfer.child_translator(self.family.parent, french, source=self._folder(setting, seed)),
        )  # fmt: skip

    def restored(self, seed: int) -> list[str]:
        """From French to French, by the body that restores it."""
        french = self.family.french_child(seed).folder
        return self._kept(f"french-{seed}", "fr", "fr", lambda: transfer.child_translator(self.family.parent, french))

    def _folder(self, setting: str, seed: int) -> Path:
        return self.family.child(setting, seed).folder

    def _kept(self, name: str, source: str, target: str, translator: Callable[[], Translator]) -> list[str]:
        path = self.family.work / "translations" / f"{name.replace('+', '-')}.{source}-{target}"
        if not path.exists():
            translated, _ = translator().translate(self.family.test(source)[0])
            join = moses_joiner(target)
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(f"{join(text)}\n" for text in translated), encoding="utf-8")
        return path.read_text(encoding="utf-8").split("\n")[:-1]


def counts(translations: Sequence[str], references: Sequence[str]) -> Counts:
    """Counts of each sentence; BLEU of a text is that of their sums."""
    bleu = BLEU()
    scores = [bleu.corpus_score([one], [[other]]) for one, other in zip(translations, references, strict=True)]
    return np.array([[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores])


def bleu_of(total: Counts) -> float:
    """BLEU from the sums of the counts."""
    correct, grams, (translated, reference) = total[:4].tolist(), total[4:8].tolist(), total[8:].tolist()
    return float(BLEU.compute_bleu(correct, grams, translated, reference, smooth_method="exp").score)


def difference(one: Sequence[Counts], other: Sequence[Counts], resamples: int) -> dict[str, Any]:
    """Mean BLEU over seeds of one setting minus that of another, with a 95 % interval over sentences.

    Every resample draws sentences, the same ones for all models (paired bootstrap, Koehn 2004).
    """
    generator = np.random.default_rng(0)
    size = len(one[0])

    def mean(models: Sequence[Counts], rows: Any) -> float:
        return float(np.mean([bleu_of(model[rows].sum(axis=0)) for model in models]))

    draws = (generator.integers(size, size=size) for _ in range(resamples))
    drawn = [mean(one, rows) - mean(other, rows) for rows in draws]
    low, high = np.quantile(drawn, [0.025, 0.975])
    everything = slice(None)
    return {"value": mean(one, everything) - mean(other, everything), "interval": [float(low), float(high)]}
