"""The ``.keras`` archive of Keras 3: its config against lists of classes and functions, its weights as plain arrays."""
