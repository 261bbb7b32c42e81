# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Align my translations
#
# You have sentences and their translations, and want to know which word translates which.
#
# A translation model looks at the source words while it writes. normlens reads from this which word each word comes
# from. Two small models for German and English are bundled; `pip install "normlens[align]"` adds what their
# tokenizers need.

# %%
import normlens

german = ["Das Haus ist sehr alt.", "Ich habe das Buch gestern gekauft.", "Wir treffen uns morgen."]
english = ["The house is very old.", "I bought the book yesterday.", "We will meet tomorrow."]
alignments = normlens.align(german, english, tokenize="de-en")
for alignment in alignments:
    print(alignment.word_pairs)

# %% [markdown]
# `tokenize=` separates the punctuation from the words. Both models read each pair, one in each direction; a link that
# both find is sure.
#
# ## The usual format
#
# Tools for translation exchange links as numbers of words, one line for each pair, counted from 0.

# %%
from normlens.alignment import pharaoh_line

for alignment in alignments:
    print(pharaoh_line(alignment.links))

# %% [markdown]
# ## See it
#
# The page with the lines between words is [one file](links.html).

# %%
from normlens.alignment import write_links_page

print(write_links_page(alignments, "links.html"))

# %% [markdown]
# What stands behind a link is a share: how much each word of the translation takes from each source word.

# %% alt="The second pair as two matrices, by weight and by norm: book takes from Buch, bought from habe"
from normlens.alignment import Extractor, Reading, draw_matrices

extractor = Extractor(normlens.load("de-en"))
pair = extractor.pair(" ".join(alignments[1].source), " ".join(alignments[1].target))
axes = draw_matrices(extractor, pair, Reading(0))

# %% [markdown]
# ## How good is it?
#
# Compare with links that a person made. The alignment error rate is 0 if all are the same, and 1 if none is. Here is
# the second pair, where "habe gekauft" is "bought".

# %%
from normlens.alignment import LinkSets, evaluate

by_hand = LinkSets.from_links({(0, 0), (2, 2), (3, 3), (4, 4), (5, 1), (6, 5)}, {(1, 1)})
found = LinkSets.from_links({(link.source, link.target) for link in alignments[1].links})
result = evaluate([by_hand], [found], resamples=0)
print(f"alignment error rate {result.aer:.2f}, precision {result.precision:.2f}, recall {result.recall:.2f}")

# %% [markdown]
# On 508 sentences of the European Parliament, annotated by hand, the bundled models [have an error rate of a
# third](../alignment.md#the-bundled-models): they are small, and saw no text of this kind.
#
# ## Whole files, other languages
#
# ```bash
# normlens align text.de text.en > links.txt  # two files, line by line
# normlens align text.fr text.en --model Helsinki-NLP/opus-mt-fr-en > links.txt  # another model
# normlens align text.de text.fr --fit models > links.txt  # any pair
# normlens aer gold.txt links.txt  # error rate with intervals
# ```
#
# With `-o links.txt`, a command that was stopped goes on where it was.
#
# ## Next
#
# - [Word alignment](../alignment.md): layers, directions, other tokenizations, what was measured.
# - [Coming from SimAlign](../coming_from.md#simalign), and when to stay with it.
