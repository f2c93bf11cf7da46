"""kemb: evaluate, rank, train and publish text-embedding models, Korean first."""
