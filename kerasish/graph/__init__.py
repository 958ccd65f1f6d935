"""Symbolic tensors and the functions made from them; knows nothing of layers."""
