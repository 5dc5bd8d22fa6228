"""Where models are loaded, trained and run: plain Python, all that a compute node needs."""
