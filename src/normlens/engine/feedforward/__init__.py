"""After the attention block: contributions pushed through the rest of the layer, which runs the model's own code."""
