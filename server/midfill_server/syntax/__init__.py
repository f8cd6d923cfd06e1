"""What source text says about itself: its language, its tree, where in it the cursor stands.

Owns: languages and their grammars as data, trees and their upkeep from edit to edit, the place of
the cursor, the units and definitions of a file, and what a text that is filled in does to the tree.
Must never know: engines, prompts, documents of an editor, LSP message types, threads.
"""

from midfill_server.syntax.definitions import Definition, definitions
from midfill_server.syntax.join import Joined, breaks, join
from midfill_server.syntax.languages import Language, language_of
from midfill_server.syntax.nodes import outside_of_text
from midfill_server.syntax.place import Kind, Place, place_at
from midfill_server.syntax.tree import SyntaxTree, Trees
from midfill_server.syntax.units import Unit, enclosing, identifiers, imports

__all__ = [
    "Definition",
    "Joined",
    "Kind",
    "Language",
    "Place",
    "SyntaxTree",
    "Trees",
    "Unit",
    "breaks",
    "definitions",
    "enclosing",
    "identifiers",
    "imports",
    "join",
    "language_of",
    "outside_of_text",
    "place_at",
]
