"""Runtimes behind one protocol (``base.Backend``): only ``forward`` differs.

Owns: sessions, device memory, the layout of a KV cache. Must never know: text, prompts, sampling.
Each runtime is imported only by its own module.
"""
