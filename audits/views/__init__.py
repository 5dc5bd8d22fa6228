"""Pages about models and their evidence, and the first page: what waits for you."""
