"""The compute half of validators: Great Expectations, unexpected rows, cleaning. No Django here."""
