# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Gallery
#
# Every figure and every view, each with the code that draws it. Click a picture to get there.
#
# <!-- pictures -->
#
# All functions of `normlens.figures` take your own axes (`ax=`), and a size or a color map: [how](figures.md). On the
# left and in blue is what the weights say, on the right and in orange what attention moves.
#
# ## One text

# %%
import normlens
from normlens import figures
from normlens.loading.sentences import sentences

bert = normlens.load("minilm-l6")
analysis = bert.analyze("The bank raised its interest rates, although nobody had expected it.")

# %% [markdown]
# ### Heat maps
#
# One layer, all heads together or one of them (`head=`).

# %% alt="Two heat maps of a layer, by weight and by norm, words by words"
axes = figures.heat_maps(analysis["encoder"], layer=3)

# %% [markdown]
# ### Two texts compared
#
# Two texts with as many words, or one text by two models: what the second gives more (or less) than the first.

# %% alt="Two maps of differences between two sentences, by weight and by norm, in two colors for more and less"
other = bert.analyze("The bank lowered its interest rates, although nobody had expected it.")
axes = figures.comparison_maps(analysis.compare(other, layer=3))

# %% [markdown]
# ### Patches of an image
#
# What one position takes from the patches, over the picture. The model here is tiny and has random weights; a [real
# one](modalities.md) is loaded by its name.

# %% alt="A picture of a disk under two maps of its patches, by weight and by norm"
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

torch.manual_seed(0)
config = CLIPVisionConfig(
    image_size=48, patch_size=8, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
)
away = (torch.arange(48) - 20.0) ** 2
picture = (away[:, None] + away < 180).float().expand(3, 48, 48)
seen = normlens.load((CLIPVisionModel(config).eval(), None)).analyze(picture)
axes = figures.patch_maps(seen["encoder"].data, layer=1, target=15, picture=picture.permute(1, 2, 0))

# %% [markdown]
# ## An output explained
#
# ### A text on the colors of its shares
#
# Which words made the model say this, by one method or several.

# %% alt="A prompt twice, each word on the color of its share for Berlin against Paris, by two methods"
decoder = normlens.load("smollm2-135m")
prompt = "The capital of France is Paris, and the capital of Germany is"
exact = decoder.attribute(prompt, target=(" Berlin", " Paris"))
left_out = decoder.attribute(prompt, target=(" Berlin", " Paris"), method="occlusion")
axes = figures.highlights([exact, left_out])

# %% [markdown]
# ### A whole answer
#
# Every word that was written, by every word before it.

# %% alt="A map of an answer: its words with their probabilities, by the words of the prompt and of the answer"
answer = decoder.attribute("The capital of France is Paris. The capital of Germany is", generate=6)
axes = figures.answer_map(answer.words())

# %% [markdown]
# ### Passages
#
# Shares of sentences, documents or any other spans.

# %% alt="Bars for each sentence of two documents, for the rest of the prompt and for the answer"
documents = [
    "The Eiffel Tower was completed in 1889. It stands in Paris.",
    "The Brandenburg Gate stands in Berlin. It was finished in 1791.",
]
question = {"context": documents, "question": "When was the Brandenburg Gate finished?"}
passages = decoder.attribute(question, answer="It was finished in 1791.", whole=True, spans="sentences")
axes = figures.source_bars(passages)

# %% [markdown]
# ### The same as pages
#
# [Highlighted text](highlights.html) as one HTML file.

# %%
from pathlib import Path

print(Path("highlights.html").write_text(figures.highlights_page([exact, left_out]), encoding="utf-8"))

# %% [markdown]
# ## Many texts
#
# ### Shares by layer
#
# What the first token, special tokens and punctuation receive, with intervals over texts.

# %% alt="Curves by layer for each category of tokens: share of weight and share of norm, with bands"
from normlens.statistics import CorpusStatistics

texts = sentences()[:12]
statistics = CorpusStatistics()
analyses = list(bert.analyze(texts, progress=False))
for one in analyses:
    statistics.add(one["encoder"].data)
table = statistics.table()
axes = figures.share_curves(table)

# %% [markdown]
# ### Mixing ratios
#
# How much of a position's vector comes from elsewhere rather than from itself, by layer.

# %% alt="Curves of the mixing ratio by layer, one for each scope"
axes = figures.mixing_ratios(table)

# %% [markdown]
# ### One number for each head
#
# All heads on one scale. `normlens report` draws these for a whole corpus, through `figures.report_figures(table)`.

# %% alt="Two grids of layers by heads: the share of special tokens by weight and by norm"
heads = table[(table["category"] == "special") & table["head"].notna()]
grids = {}
for title, quantity in (("weight", "weight_share"), ("norm", "weighted_norm_share")):
    chosen = heads[heads["quantity"] == quantity]
    grids[title] = chosen.set_index(["layer", "head"])["value"].to_xarray()
axes = figures.head_overview(grids, "share of special tokens", percent=True)

# %% [markdown]
# ### Heads as points
#
# Weight across, norm up: what lies far below the diagonal looks somewhere and moves nothing from there. [More about
# heads](heads.md).

# %% alt="A scatter of heads: share of weight on the first token across, share of norm up"
from normlens.statistics.heads import head_scatter, measure_heads

measured = measure_heads(bert, texts, progress=False)["encoder"]
axes = head_scatter(measured.table())

# %% [markdown]
# ### Heads that are alike
#
# A map of all heads by what they move, beside the tree in which they merge; here the colors are layers. `normlens cluster
# heads` [finds clusters](clustering.md) and colors by these.

# %% alt="A map of 72 heads in two dimensions beside the tree in which they merge"
from normlens.clustering.model_heads import compare_heads

alike = compare_heads(analyses)
layers = [int(name.split(".")[0]) for name in alike.names]
kinds = [f"layer {layer}" for layer in range(6)]
axes = figures.cluster_map(alike.matrix, layers, names=alike.names, kinds=kinds, unit="√JSD")

# %% [markdown]
# ### Where a "not" goes
#
# What a negation brings to each word, by layer. [Negation](negation.md).

# %% alt="Two maps of layers by words: what the word not brings to each word, by weight and by norm"
from normlens.negation import cue_reach

[reach, *_] = cue_reach(bert, "The acting is not bad, but I never laughed.")
axes = figures.scope_map(reach)

# %% [markdown]
# ## Translations
#
# ### An alignment as matrices
#
# Which source word each word of the translation takes from; links made by hand are framed.

# %% alt="Two matrices of target words by source words, by weight and by norm, with framed links"
from normlens.alignment import Extractor, LinkSets, Reading, draw_matrices

extractor = Extractor(normlens.load("de-en"))
pair = extractor.pair("Ich habe das Buch gestern gekauft .", "Yesterday I bought the book .")
by_hand = LinkSets.from_links({(4, 0), (0, 1), (5, 2), (2, 3), (3, 4), (6, 5)}, {(1, 2)})
axes = draw_matrices(extractor, pair, Reading(0), by_hand)

# %% [markdown]
# ### Links as lines
#
# [Lines between the words](lines.html), as a page.

# %%
from normlens.alignment import write_links_page

german = ["Das Haus ist sehr alt.", "Wir treffen uns morgen."]
english = ["The house is very old.", "We will meet tomorrow."]
print(write_links_page(normlens.align(german, english, tokenize="de-en"), "lines.html"))

# %% [markdown]
# ### Error rates by layer
#
# Which layer aligns best, if there are links made by hand (here for one sentence).

# %% alt="Curves of the alignment error rate by layer, by weight and by norm"
import pandas as pd

from normlens.alignment import evaluate

readings = [
    Reading(layer, measure=measure, setting=setting)
    for layer in (0, 1)
    for measure in ("weight", "norm")
    for setting in ("awi", "awo")
]
[softs] = extractor.maps([pair], readings)
rates = pd.DataFrame(
    {
        "layer": reading.layer,
        "measure": reading.measure,
        "setting": reading.setting,
        "aer": evaluate([by_hand], [LinkSets.from_links({link[:2] for link in soft.links()})], resamples=0).aer,
    }
    for reading, soft in zip(readings, softs, strict=True)
)
axes = figures.aer_curves(rates)

# %% [markdown]
# ## Views
#
# `normlens view MODEL` opens them in a browser, `lens.view(text)` in a notebook's cell. [The explorer](explorer.md)
# says how to use each.
#
# ### All heads
#
# ```bash
# normlens view minilm-l6 --text "The capital of France is Paris."
# ```
#
# ![The explorer's scatter: each head a point, its weight across, its norm up](images/explorer_scatter.png)
#
# ### One head
#
# ![The explorer on one head: its weights, its norms and their difference](images/explorer_head.png)
#
# ### Without first and special tokens
#
# ![The same head once first and special tokens are left out](images/explorer_without.png)
#
# ### What it says
#
# ```bash
# normlens view smollm2-135m
# ```
#
# ![The logit of a token split over the text, in the explorer](images/explorer_answer.png)
#
# ### Where it comes from
#
# ![The flow of a token back through the layers, in the explorer](images/explorer_flow.png)
#
# ### Alignment
#
# ```bash
# normlens view de-en
# ```
#
# ![A sentence and its translation with lines between the words, in the explorer](images/explorer_alignment.png)
#
# ### A page to send
#
# [This one](analysis.html) was written by the next cell: the explorer with one analysis inside.

# %%
print(analysis.to_html("analysis.html"))
