"""The report of an audit: what it says, as one page that opens anywhere and as JSON."""
