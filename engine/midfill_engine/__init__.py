"""Text in, text out: models, tokens, caches and devices.

Owns: which models exist and where their files come from, prompts as token ids, the decode loop,
KV caches, runtimes. Must never know: editors, documents, LSP (nothing of ``midfill_server``,
``pygls`` or ``lsprotocol`` is imported here). Nothing heavy is imported before it is used.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
