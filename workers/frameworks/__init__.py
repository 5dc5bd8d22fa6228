"""One adapter a framework, one interface: what Assay needs of a model, whoever made it."""
