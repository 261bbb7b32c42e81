"""Methods of attribution on classifiers: how faithful they are, and what they cost."""
