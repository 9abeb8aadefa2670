"""Small updates: what of one blob another already holds, as a `limosa.delta/1` container (compiler 7)."""
