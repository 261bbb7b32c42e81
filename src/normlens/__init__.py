"""normlens: see what attention really moves."""
