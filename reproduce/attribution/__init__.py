"""Methods of attribution on classifiers: how far to trust them, and what they cost."""
