"""Answers predictions: the worker process, its pool, the self-test, and the model in-process (agent 1, 5)."""
