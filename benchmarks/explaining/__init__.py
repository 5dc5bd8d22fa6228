"""Pieces of the explanation benchmark: networks with the same weights in both frameworks, and all who explain them."""
