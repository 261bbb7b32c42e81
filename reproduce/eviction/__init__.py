"""What may be forgotten: scores of keys compared by what a language model loses when it copies a text, and by the meter."""
