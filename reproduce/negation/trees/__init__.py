"""What tree models learn about negation on the Stanford Sentiment Treebank."""
