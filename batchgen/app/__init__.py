"""Wiring and use cases, one module each: what the command line and the library call.

Nothing is imported here, so that each command loads only what it needs.
"""
