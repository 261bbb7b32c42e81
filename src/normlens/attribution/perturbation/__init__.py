"""The model run again without words or passages of its prompt: what perturbation methods are made of."""
