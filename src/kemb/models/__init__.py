"""What is evaluated: names, files, prompts, and the encoders that load them."""
