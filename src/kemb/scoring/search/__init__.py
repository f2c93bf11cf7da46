"""Rankings: exact search, lexical search, fusion, reranking, and runs of other programs."""
