"""The grammars, as rows of data: which wheel has one, and what its nodes are called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language

__all__ = ["GRAMMARS", "Grammar", "load"]

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """One tree-sitter grammar: the wheel it is in, and its names for what all languages have.

    ``functions`` have a body of statements. ``classes`` have members (modules, namespaces and
    implementations too). ``types`` are definitions that are short enough to be quoted whole.
    ``values`` are constants at the top, fields in a class. ``wrappers`` stand around definitions
    and belong to them, such as decorators and ``export``. ``blocks`` hold statements or members,
    ``literals`` have braces and hold neither.

    ``opens`` matches a line that ends with the start of a block, ``closes`` what may come next when
    that block is empty. ``dedents``: blocks end by their indentation. ``import_line`` matches how a
    line of imports begins, ``opens_code`` a string up to where code begins in it. ``prologue`` is
    what a piece of a file needs before it, to be parsed. ``only_ascii``: other characters crash it.
    """

    wheel: str
    entry: str = "language"
    functions: frozenset[str]
    classes: frozenset[str]
    types: frozenset[str] = _NONE
    values: frozenset[str] = _NONE
    wrappers: frozenset[str] = _NONE
    imports: frozenset[str]
    calls: frozenset[str]
    strings: frozenset[str]
    interpolations: frozenset[str] = _NONE
    comments: frozenset[str] = frozenset({"comment"})
    blocks: frozenset[str]
    literals: frozenset[str] = _NONE
    opens: str = r"\{\s*$"
    closes: str = r"\}"
    dedents: bool = False
    import_line: str
    opens_code: str = r"(?!)"
    prologue: str = ""
    only_ascii: bool = False


def _row(
    wheel: str,
    *,
    import_line: str,
    entry: str = "language",
    opens: str = r"\{\s*$",
    closes: str = r"\}",
    dedents: bool = False,
    opens_code: str = r"(?!)",
    prologue: str = "",
    only_ascii: bool = False,
    **names: str,
) -> Grammar:
    """Return one row; sets of names are written with spaces between them."""
    sets = {key: frozenset(value.split()) for key, value in names.items()}
    return Grammar(
        wheel=wheel,
        entry=entry,
        functions=sets["functions"],
        classes=sets["classes"],
        types=sets.get("types", _NONE),
        values=sets.get("values", _NONE),
        wrappers=sets.get("wrappers", _NONE),
        imports=sets.get("imports", _NONE),
        calls=sets["calls"],
        strings=sets["strings"],
        interpolations=sets.get("interpolations", _NONE),
        comments=sets.get("comments", frozenset({"comment"})),
        blocks=sets["blocks"],
        literals=sets.get("literals", _NONE),
        opens=opens,
        closes=closes,
        dedents=dedents,
        import_line=import_line,
        opens_code=opens_code,
        prologue=prologue,
        only_ascii=only_ascii,
    )


_PYTHON = _row(
    "tree_sitter_python",
    functions="function_definition",
    classes="class_definition",
    types="type_alias_statement",
    values="expression_statement",
    wrappers="decorated_definition",
    imports="import_statement import_from_statement future_import_statement",
    calls="argument_list",
    strings="string",
    interpolations="interpolation",
    blocks="module block",
    literals="dictionary set",
    opens=r"^\s*(?:(?:async\s+)?(?:def|class|if|elif|else|for|while|try|except|finally|with|match"
    r"|case)\b.*|\).*):\s*$",
    closes=r"(?!)",
    dedents=True,
    import_line=r"(?:import|from)\s",
    opens_code=r"^[rR]?[fF][rR]?['\"].*(?<!\{)\{[^{}]*$",
)

_JAVASCRIPT = _row(
    "tree_sitter_javascript",
    functions="function_declaration generator_function_declaration method_definition "
    "function_expression generator_function arrow_function function_signature method_signature "
    "abstract_method_signature class_static_block",
    classes="class_declaration class abstract_class_declaration internal_module module",
    types="interface_declaration type_alias_declaration enum_declaration",
    values="lexical_declaration variable_declaration field_definition public_field_definition",
    wrappers="export_statement ambient_declaration",
    imports="import_statement",
    calls="arguments",
    strings="string template_string regex",
    interpolations="template_substitution",
    comments="comment html_comment",
    blocks="program statement_block class_body switch_case switch_default interface_body enum_body",
    literals="object object_pattern object_type named_imports export_clause jsx_expression",
    import_line=r"import\b(?!\s*\()|export\s*(?:\*|\{).*\bfrom\b",
    opens_code=r"^`.*\$\{[^{}]*$",
)

_JAVA = _row(
    "tree_sitter_java",
    functions="method_declaration constructor_declaration compact_constructor_declaration "
    "lambda_expression annotation_type_element_declaration",
    classes="class_declaration interface_declaration enum_declaration record_declaration "
    "annotation_type_declaration",
    values="field_declaration constant_declaration",
    imports="import_declaration",
    calls="argument_list annotation_argument_list",
    strings="string_literal character_literal",
    interpolations="string_interpolation",
    comments="line_comment block_comment",
    blocks="program block class_body interface_body enum_body constructor_body "
    "enum_body_declarations annotation_type_body switch_block switch_block_statement_group",
    literals="array_initializer element_value_array_initializer",
    import_line=r"import\s",
)

_C = _row(
    "tree_sitter_c",
    functions="function_definition",
    classes="",
    types="struct_specifier union_specifier enum_specifier type_definition",
    values="declaration preproc_def preproc_function_def",
    imports="preproc_include",
    calls="argument_list",
    strings="string_literal char_literal",
    blocks="translation_unit compound_statement field_declaration_list enumerator_list "
    "case_statement declaration_list preproc_if preproc_ifdef preproc_else",
    literals="initializer_list",
    import_line=r"#\s*include\b",
)

_CPP = replace(
    _C,
    wheel="tree_sitter_cpp",
    functions=_C.functions | {"lambda_expression"},
    classes=frozenset({"class_specifier", "struct_specifier", "namespace_definition"}),
    types=_C.types - {"struct_specifier"} | {"alias_declaration", "concept_definition"},
    values=_C.values | {"field_declaration"},
    wrappers=frozenset({"template_declaration", "linkage_specification"}),
    strings=_C.strings | {"raw_string_literal"},
)

_CSHARP = _row(
    "tree_sitter_c_sharp",
    functions="method_declaration constructor_declaration destructor_declaration "
    "local_function_statement operator_declaration conversion_operator_declaration "
    "indexer_declaration lambda_expression anonymous_method_expression accessor_declaration",
    classes="class_declaration interface_declaration struct_declaration record_declaration "
    "namespace_declaration file_scoped_namespace_declaration",
    types="enum_declaration delegate_declaration",
    values="field_declaration property_declaration event_field_declaration event_declaration",
    imports="using_directive",
    calls="argument_list bracketed_argument_list attribute_argument_list",
    strings="string_literal character_literal verbatim_string_literal raw_string_literal "
    "interpolated_string_expression",
    interpolations="interpolation",
    blocks="compilation_unit block declaration_list accessor_list switch_body switch_section "
    "enum_member_declaration_list",
    literals="initializer_expression anonymous_object_creation_expression switch_expression",
    opens_code=r"^(?:\$@?|@\$)\".*(?<!\{)\{[^{}]*$",
    import_line=r"(?:global\s+)?using\s+(?!var\b)[\w.=\s]*;?$",
)

_GO = _row(
    "tree_sitter_go",
    functions="function_declaration method_declaration func_literal",
    classes="",
    types="type_spec type_alias",
    values="const_spec var_spec",
    wrappers="type_declaration const_declaration var_declaration var_spec_list",
    imports="import_declaration",
    calls="argument_list",
    strings="interpreted_string_literal raw_string_literal rune_literal",
    blocks="source_file block statement_list field_declaration_list interface_type expression_case "
    "default_case type_case communication_case",
    literals="literal_value",
    import_line=r"import\b",
)

_RUST = _row(
    "tree_sitter_rust",
    functions="function_item function_signature_item closure_expression macro_definition",
    classes="impl_item trait_item mod_item foreign_mod_item",
    types="struct_item enum_item union_item type_item",
    values="const_item static_item",
    imports="use_declaration extern_crate_declaration",
    calls="arguments token_tree",
    strings="string_literal raw_string_literal char_literal",
    comments="line_comment block_comment",
    blocks="source_file block declaration_list field_declaration_list enum_variant_list "
    "match_block",
    literals="field_initializer_list use_list",
    import_line=r"(?:pub(?:\([^)]*\))?\s+)?(?:use|extern\s+crate)\s",
)

_PHP = _row(
    "tree_sitter_php",
    entry="language_php",
    functions="function_definition method_declaration anonymous_function arrow_function",
    classes="class_declaration interface_declaration trait_declaration enum_declaration "
    "namespace_definition",
    values="property_declaration const_declaration enum_case",
    imports="namespace_use_declaration require_expression require_once_expression "
    "include_expression include_once_expression",
    calls="arguments",
    strings="string encapsed_string heredoc nowdoc",
    blocks="program compound_statement declaration_list enum_declaration_list switch_block "
    "case_statement default_statement colon_block",
    import_line=r"(?:use|require|require_once|include|include_once)\b",
    prologue="<?php ",
)

_RUBY = _row(
    "tree_sitter_ruby",
    functions="method singleton_method",
    classes="class module singleton_class",
    values="assignment",
    calls="argument_list",
    strings="string heredoc_body subshell regex string_array symbol_array",
    interpolations="interpolation",
    blocks="program body_statement then do block_body do_block block begin else ensure "
    "parenthesized_statements begin_block end_block",
    literals="hash",
    opens=r"^\s*(?:(?:private\s+|protected\s+|public\s+|\w+\s*=\s*)?(?:def|class|module|if|unless"
    r"|while|until|case|when|in|for|begin|else|elsif|ensure|rescue)\b(?!.*\bend\s*$).*"
    r"|.*(?:\bdo|\bthen|\{)(?:\s*\|[^|]*\|)?)\s*$",
    closes=r"(?:end|else|elsif|when|in|rescue|ensure)\b|\}",
    import_line=r"(?:require|require_relative|load)\b",
    opens_code=r"#\{[^{}]*$",
)

_BASH = _row(
    "tree_sitter_bash",
    functions="function_definition",
    classes="",
    values="variable_assignment",
    calls="",
    strings="string raw_string ansi_c_string heredoc_body",
    interpolations="command_substitution",
    blocks="program compound_statement do_group if_statement else_clause elif_clause case_item "
    "subshell",
    literals="array",
    opens=r"(?:(?:^|[\s;])(?:then|do|else|\{|\()|^\s*(?!.*\()[^#]*\))\s*$",
    closes=r"(?:fi|done|else|elif|esac)\b|\}|\)|;;",
    import_line=r"(?:source|\.)\s",
    opens_code=r"^\".*\$\([^()]*$",
    # Behind "{" its scanner looks a character up in C's table of 256, whatever the character is.
    only_ascii=True,
)

_TYPESCRIPT = replace(_JAVASCRIPT, wheel="tree_sitter_typescript", entry="language_typescript")

GRAMMARS: dict[str, Grammar] = {
    "python": _PYTHON,
    "javascript": _JAVASCRIPT,
    "javascriptreact": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "typescriptreact": replace(_TYPESCRIPT, entry="language_tsx"),
    "java": _JAVA,
    "c": _C,
    "cpp": _CPP,
    "csharp": _CSHARP,
    "go": _GO,
    "rust": _RUST,
    "php": _PHP,
    "ruby": _RUBY,
    "shellscript": _BASH,
}


@cache
def load(grammar: Grammar) -> Language | None:
    """Return the compiled grammar, or ``None`` where its wheel is not installed."""
    try:
        from tree_sitter import Language

        pointer: object = getattr(import_module(grammar.wheel), grammar.entry)()
        return Language(pointer)
    except ImportError:
        return None
