"""Maps of every layer, and the algebra that rolls them out."""
