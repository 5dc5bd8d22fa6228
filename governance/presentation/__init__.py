"""How facts look and read on pages and in reports: numbers, marks, small drawings. No page, no query."""
