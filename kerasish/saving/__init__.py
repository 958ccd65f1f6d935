"""Models, weights and configurations on disk, in files that run no code."""
