"""From logits to tokens: the one decode loop, sampling, verification of drafts, stopping.

Owns: the order of prefill, step, accept, truncate. Must never know: text or runtimes.
"""
