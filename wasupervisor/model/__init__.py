"""The words that every room shares: frozen values and nothing else."""
