"""Editors, documents and syntax, over the language server protocol.

Owns: what happens between an LSP message and the text an editor shows. Must never know: tensors,
token ids or weights; everything computed comes through ``midfill_engine``'s ``Engine``. Only
``server.py``, ``handlers/`` and ``convert.py`` import LSP types.
"""

__all__: list[str] = []
