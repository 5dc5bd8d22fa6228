"""Keras models, as ``.keras`` and legacy ``.h5``: the config against lists of classes, settings and functions."""
