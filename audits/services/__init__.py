"""The verbs of model evidence, one file a topic."""
