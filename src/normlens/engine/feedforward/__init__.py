"""Behind the attention block: contributions followed through the rest of the layer, whatever the model's code is."""
