"""Images as data: decoded with bounds, brought to one shape, and measured, so that rules judge them like any column."""
