"""A file for each method of attribution; each has a ``METHOD``, which the registry finds by its name."""
