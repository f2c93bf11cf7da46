"""From a test set to a decision: stages, how sure it is, and how many questions are enough."""
