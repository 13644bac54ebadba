"""The vendors: every quirk of WAHA and of Evolution lives here and nowhere else."""
