# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Which passage made the answer?
#
# You gave a model some documents and a question, and want to know which document, and which sentence in it, its
# answer comes from.

# %%
import normlens
from normlens import figures

lens = normlens.load("smollm2-135m")
documents = [
    "The Eiffel Tower was completed in 1889. It stands in Paris and is 330 metres tall.",
    "The Brandenburg Gate stands in Berlin. It was finished in 1791, and Napoleon passed through it.",
    "Basil is a herb. It grows well in pots.",
]
question = {"context": documents, "question": "When was the Brandenburg Gate finished?"}

# %% [markdown]
# ## By document
#
# The model answers, and the log-probability of its whole answer is split over the documents. `[rest]` is the question
# and the template of the chat, `[answer]` the words of the answer that came before. Nothing is lost: all shares add
# up.

# %%
by_document = lens.attribute(question, generate=30, whole=True)
answer = by_document.attrs["answer"]
print(answer)
for source, share in zip(by_document.source_token.values, by_document.values, strict=True):
    print(f"{share:+6.2f}  {source[:60]}")

# %% [markdown]
# The second document has the largest share, +6.67. The more a passage raised the probability of the answer against
# what the model would have written otherwise, the larger its share.
#
# ## By sentence
#
# `spans=` chooses other pieces: sentences, lines, paragraphs, or what a regular expression finds. Here the answer is
# passed in, so that it is the same one.

# %% alt="Bars for six sentences, the question and the answer: the sentence with the date is the longest of the sentences"
by_sentence = lens.attribute(question, answer=answer, whole=True, spans="sentences")
axes = figures.source_bars(by_sentence)

# %% [markdown]
# ## Check it by leaving out
#
# Is it true? Take each sentence out in turn, run the model again, and see how far the probability of the answer
# falls. That is the method `occlusion`. It costs one run for each sentence, the exact split one in all.

# %%
left_out = lens.attribute(question, answer=answer, whole=True, spans="sentences", method="occlusion")
for sentence, fall in zip(left_out.source_token.values, left_out.values, strict=True):
    print(f"{fall:+6.2f}  {sentence}")

# %% [markdown]
# Without the sentence that holds the date, the log-probability falls by 38.03. Without any other, it falls by 2.40 at
# most. Both ways point to the same sentence. They need not always: [on questions of
# XQuAD](../attribution/answers.md#which-method-finds-the-sentence), the exact split puts the right sentence first
# about as often as leaving out does.
#
# ## Your own documents
#
# In a shell, each document is a file:
#
# ```bash
# normlens attribute MODEL --context first.txt second.txt --question "When was it finished?" -o answer.html
# ```
#
# ## Next
#
# - [Whole answers and passages](../attribution/answers.md): brought answers, single tokens, other spans.
# - [Long texts](../running.md#long-texts): what to do when the documents are long.
