"""Cross-attention transfer: a French–English parent, its German–English children, and what follows from them."""
