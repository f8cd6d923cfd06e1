"""What else of the workspace may help a completion, and where it is found.

Owns: which files are looked at, what is remembered of each, and what is imported by which; all of
it is read in the background, in small pieces, and looked up without waiting. Where somebody worked
lately, and which of all this is shown at a cursor. Must never know: editors, the protocol, models,
tokens, how a prompt is put together.
"""
