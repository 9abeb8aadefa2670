"""REST: one module per resource, each with a `router`; `routers.py` lists them."""
