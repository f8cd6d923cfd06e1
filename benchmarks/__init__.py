"""Demonstrations and measurements, run from a checkout: ``python -m benchmarks.NAME --help``."""
