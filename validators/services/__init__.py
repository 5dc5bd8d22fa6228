"""The verbs of data evidence, one file a topic."""
