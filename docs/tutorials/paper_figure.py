# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A paper's figure in ten minutes
#
# You need one figure over many texts, with intervals, in the width of a column, and later the same on a GPU or as a
# batch job.
#
# The figure is the first finding of [Kobayashi et al. (2020)](https://aclanthology.org/2020.emnlp-main.574/): special
# tokens get much of the weight of attention, and little of what it moves.

# %%
import torch

import normlens
from normlens import figures
from normlens.loading.sentences import sentences
from normlens.statistics import CorpusStatistics

texts = sentences()[:20]  # bundled: news and Wikipedia; take your own list
lens = normlens.load("minilm-l6", device="cuda" if torch.cuda.is_available() else "cpu")
statistics = CorpusStatistics()
for analysis in lens.analyze(texts, progress=False):
    statistics.add(analysis["encoder"].data)
table = statistics.table()

# %% [markdown]
# An iterable of texts gives one analysis after the other, in batches. `CorpusStatistics` keeps what the figure needs
# and gives one tidy table: a row for each quantity, layer, head and category, with an interval over texts.

# %%
shares = table[(table["category"] == "special") & table["layer"].notna() & table["head"].isna()]
shares = shares[shares["quantity"].isin(["weight_share", "norm_share"])]
print(shares[["quantity", "layer", "value", "low", "high"]].round(3).to_string(index=False))

# %% [markdown]
# ## Draw it
#
# Every function of `normlens.figures` draws into axes of your own, so size, fonts and labels are yours. This one is
# as wide as a column.

# %% alt="The share of special tokens by layer: by weight far above, by norm below, with bands"
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(3.3, 2.4), layout="constrained")
figures.share_curves(table[table["category"] == "special"], ax=[axes])
axes.set_title("Special tokens in MiniLM")
print(figures.save(axes, "special.pdf").name)

# %% [markdown]
# ## On a GPU
#
# `load(…, device="cuda", dtype="bfloat16")` is all. Norms are computed in float32 whatever the model's precision.
# [More about GPUs, precision and long texts](../running.md).
#
# ## As a batch job
#
# Twenty texts fit in a loop. For a million, or on a cluster, write them to a file and plan a run. It is cut into
# shards, goes on after a kill, and gives the same numbers with one worker or a hundred.

# %%
from pathlib import Path

from normlens import corpus

Path("texts.txt").write_text("\n".join(texts), encoding="utf-8")
plan = corpus.plan("minilm-l6", ["texts.txt"], "run", shard_rows=10)
report = corpus.run("run")
print(report.committed, "of", report.shards, "shards")
final = corpus.finalize("run")

# %% [markdown]
# The same from a shell, where a job of Slurm or a container calls it; workers on other machines only need to see the
# folder:
#
# ```bash
# normlens corpus plan minilm-l6 texts.txt -o run
# normlens corpus run run --device cuda
# normlens corpus finalize run
# ```
#
# What comes out is a table of results, the statistics of above, and a report as a page. The means are the same
# numbers; intervals differ a little, because those of a run [are computed without keeping the
# texts](../corpus.md#what-comes-out).

# %%
import pandas as pd

stored = pd.read_parquet(final / "statistics.parquet")
stored = stored[(stored["category"] == "special") & stored["layer"].notna() & stored["head"].isna()]
stored = stored[stored["quantity"] == "weight_share"]
print(stored[["layer", "value", "low", "high"]].round(3).to_string(index=False))

# %% [markdown]
# ## Next
#
# - [A corpus](../corpus.md): back ends, machines, what survives which failure.
# - [Figures](../gallery.md): every other figure, with the code under it.
# - [Reproduced findings](../reproduce.md): published figures beside ours.
