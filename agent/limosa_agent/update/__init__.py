"""The update machine of one model, and what carries out its decisions (agent 2)."""
