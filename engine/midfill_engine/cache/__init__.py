"""Which KV cache serves a token sequence, and how much of it is already computed.

Owns: matching by token ids. Must never know: what the ids mean, or what a backend stores.
"""
