"""TensorFlow SavedModels: read to the end without TensorFlow and without protobuf, and written anew."""
