"""Which sentence of the context made the answer: methods of attribution against the gold sentence and leave-one-out."""
