"""Decoders as plain PyTorch modules, one per architecture, over keys and values held elsewhere.

Owns: what is computed, in which order. Must never know: files, quantisation, devices' memory,
CUDA graphs, sampling. torch is imported by these modules, and they only by the PyTorch backend.
"""
