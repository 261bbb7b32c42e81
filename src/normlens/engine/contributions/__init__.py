"""The algebra of weighted vectors: affine maps, Gram matrices, norms, conservation, verification of pairs."""
