"""Which files are left alone: those for secrets, and those that ignore files name.

Owns: what ``.gitignore`` and ``.midfillignore`` say, folders of tools, names of files for secrets.
Must never know: what is done with the others, editors, the protocol, models.
"""

__all__: list[str] = []
