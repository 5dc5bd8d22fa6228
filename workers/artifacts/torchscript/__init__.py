"""TorchScript archives: code in a restricted language and pickled objects, read to the end and written anew."""
