"""The ``.pt2`` archive of ``torch.export``: graph, expressions, guards and weights, parsed and written anew."""
