"""Reading GGUF files: metadata, tensors as they lie on disk, block formats.

Owns: the byte layout of the format. Must never know: graphs, runtimes or prompts.
"""
