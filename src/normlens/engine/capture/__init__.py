"""Attention weights and values out of a running model, through transformers' interface or by watching the softmax."""
