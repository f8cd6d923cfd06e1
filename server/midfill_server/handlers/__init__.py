"""One small module per kind of request: LSP in, LSP out, the work done elsewhere.

Owns: what each method means for this server, and what a user is told. Must never know: tensors,
tokens, or how bytes travel.
"""

__all__: list[str] = []
