"""From pairs of texts to a trained, proven model: data, mining, fit, proof, export."""
