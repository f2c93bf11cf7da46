"""From documents without questions to a test set, and how far it can be trusted."""
