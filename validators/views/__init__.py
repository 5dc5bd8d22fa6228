"""The pages about data, a topic a file."""
