"""Everything that people look at: terminal, Markdown, site, cards, history, submissions."""
