"""Asks a language's own checkers what they think of a text that is not on disk.

Owns: which tools are installed and may be started, how each is asked and its answer read, the
shadow of a project in which one file differs, and the verdict on a fix: whether what was found
before is gone, and whether anything new is there.
Must never know: engines, prompts, how a fix came about, documents of an editor, LSP message types
of our own protocol, the event loop.
"""
