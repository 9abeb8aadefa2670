"""What runs inside the toolchain's environment, as plain files: no limosa is installed there.

Nothing here is imported by the compiler; `worker.py` is started as a script, and finds its neighbours
beside it.
"""
