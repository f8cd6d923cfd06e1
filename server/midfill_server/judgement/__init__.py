"""Whether anything is suggested: never here, and not if it is probably wrong.

Owns: the places where nothing is suggested, how sure one can be of a text that a model wrote, and
where that sureness ends.
Must never know: engines, tokens, LSP types, threads.
"""
