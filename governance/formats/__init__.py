"""How dates are written where Django writes them: as the pages do."""
