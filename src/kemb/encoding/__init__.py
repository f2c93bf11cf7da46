"""Texts x prompts -> unique inputs -> encoded once -> store."""
