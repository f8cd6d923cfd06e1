"""What the files of a Python package define, and where other files of it use that.

Deliberately simple: names that are imported, modules that are imported, and objects whose class is
plain to see: annotated parameters, what was just made, ``self`` of a class with a base elsewhere.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

__all__ = ["Definition", "Module", "Package", "Use", "uses"]

_MOST_CHARACTERS = 100_000
_DEEPEST = 4

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True, kw_only=True, eq=False)
class Module:
    """A file. ``imported`` tells by name in this file: from which module, and which name there.

    Without a name there, it is the module itself.
    """

    name: str
    path: Path
    text: str
    tree: ast.Module
    defined: dict[str, ast.AST] = field(default_factory=dict[str, ast.AST])
    imported: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    lines: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()

    def offset(self, line: int, column: int) -> int | None:
        """Return an offset in characters; ``None`` in lines where the parser's bytes are not."""
        return self.starts[line - 1] + column if self.lines[line - 1].isascii() else None

    def line_end(self, offset: int) -> int:
        """Return where the line ends that holds ``offset``."""
        end = self.text.find("\n", offset)
        return len(self.text) if end < 0 else end


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A function, a class, or a member of one, in the module ``holder``."""

    name: str
    holder: Module
    node: ast.AST

    @property
    def signature(self) -> str:
        """What a caller must know of it, as it stands there."""
        return _signature(self.holder, self.node) or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The modules of a package, by their full names. ``known`` are members found before."""

    modules: Mapping[str, Module]
    known: dict[ast.ClassDef, dict[str, ast.AST]] = field(
        default_factory=dict[ast.ClassDef, dict[str, ast.AST]]
    )

    @classmethod
    def read(cls, project: Path, name: str) -> Package:
        """Read the package ``name`` that lies in the folder ``project``."""
        modules: dict[str, Module] = {}
        for path in sorted((project / name).rglob("*.py")):
            module = _module(project, path)
            if module is not None:
                modules[module.name] = module
        return cls(modules=modules)

    def find(self, module: str, name: str, depth: int = 0) -> Definition | None:
        """Return what ``name`` means in ``module``, wherever in the package it is defined."""
        holder = self.modules.get(module)
        if holder is None or depth > _DEEPEST:
            return None
        node = holder.defined.get(name)
        if node is not None:
            return Definition(name=name, holder=holder, node=node)
        source = holder.imported.get(name)
        return self.find(*source, depth + 1) if source and source[1] else None

    def member(self, owner: Definition, name: str, depth: int = 0) -> Definition | None:
        """Return a method or attribute of a class, looked for in its bases too."""
        if not isinstance(owner.node, ast.ClassDef) or depth > _DEEPEST:
            return None
        if owner.node not in self.known:
            self.known[owner.node] = _members(owner.node)
        found = self.known[owner.node].get(name)
        if found is not None:
            return Definition(name=name, holder=owner.holder, node=found)
        for base in owner.node.bases:
            above = self.find(owner.holder.name, base.id) if isinstance(base, ast.Name) else None
            inherited = above and self.member(above, name, depth + 1)
            if inherited:
                return inherited
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """``definition`` is used at ``[start, name_end)``; ``attribute``: behind a dot.

    ``arguments`` is where the arguments begin, behind the bracket; ``None`` if it is not called.
    """

    definition: Definition
    start: int
    name_end: int
    attribute: bool
    arguments: int | None


def uses(package: Package, module: Module) -> Iterator[Use]:
    """Yield what ``module`` uses of other files of its package, each once."""
    seen: set[ast.AST] = set()
    for scope, owner in _scopes(module.tree):
        types = _types(package, module, scope, owner)
        for node, call in _named(scope):
            if node in seen:
                continue
            if isinstance(node, ast.Name):
                definition = package.find(module.name, node.id) if call else None
            else:
                definition = _attribute(package, module, node, types)
            use = _use(module, node, definition, call)
            if use is not None:
                seen.add(node)
                yield use


def _named(scope: ast.AST) -> Iterator[tuple[ast.Name | ast.Attribute, ast.Call | None]]:
    """Yield what is named below ``scope``, with its call where it is called.

    Not what stands in strings: before Python 3.12 its places are not told.
    """
    pending: list[tuple[ast.AST, ast.Call | None]] = [(scope, None)]
    while pending:
        node, call = pending.pop()
        if isinstance(node, ast.JoinedStr):
            continue
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node, call
        function = node.func if isinstance(node, ast.Call) else None
        for child in ast.iter_child_nodes(node):
            made = node if isinstance(node, ast.Call) and child is function else None
            pending.append((child, made))


def _use(
    module: Module,
    node: ast.Name | ast.Attribute,
    definition: Definition | None,
    call: ast.Call | None,
) -> Use | None:
    if definition is None or definition.holder is module:
        return None
    end = module.offset(node.end_lineno or 0, node.end_col_offset or 0)
    if end is None or not module.text.startswith(definition.name, end - len(definition.name)):
        # Imported by another name: what the other file says is not what stands here.
        return None
    called = call is not None and module.text.startswith("(", end)
    return Use(
        definition=definition,
        start=end - len(definition.name),
        name_end=end,
        attribute=isinstance(node, ast.Attribute),
        arguments=end + 1 if called else None,
    )


def _attribute(
    package: Package, module: Module, node: ast.Attribute, types: Mapping[str, Definition]
) -> Definition | None:
    """Return what is meant by ``node``, where the object before the dot is plain to see."""
    if not isinstance(node.value, ast.Name):
        return None
    name = node.value.id
    if name in types:
        return package.member(types[name], node.attr)
    source = module.imported.get(name)
    if source is None:
        return None
    if not source[1]:
        return package.find(source[0], node.attr)
    definition = package.find(*source)
    return package.member(definition, node.attr) if definition else None


def _types(
    package: Package, module: Module, scope: ast.AST, owner: ast.ClassDef | None
) -> dict[str, Definition]:
    """Return the classes of the names in a function, as far as they are plain to see."""
    types: dict[str, Definition] = {}
    if not isinstance(scope, Function):
        return types
    arguments = scope.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        found = package.find(module.name, _class_named(argument.annotation))
        if found is not None:
            types[argument.arg] = found
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            target, made = node.targets[0], node.value.func
            if isinstance(target, ast.Name) and isinstance(made, ast.Name):
                found = package.find(module.name, made.id)
                if found is not None and isinstance(found.node, ast.ClassDef):
                    types[target.id] = found
    if owner is not None and arguments.args and arguments.args[0].arg == "self":
        types["self"] = Definition(name=owner.name, holder=module, node=owner)
    return types


def _class_named(annotation: ast.expr | None) -> str:
    """Return the class that an annotation names: ``X``, ``"X"``, ``X | None``, ``Optional[X]``."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value if annotation.value.isidentifier() else ""
    if isinstance(annotation, ast.BinOp):
        return _class_named(annotation.left)
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        return _class_named(annotation.slice) if annotation.value.id == "Optional" else ""
    return annotation.id if isinstance(annotation, ast.Name) else ""


def _scopes(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.ClassDef | None]]:
    """Yield functions with the class they are methods of, then the whole file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from ((method, node) for method in node.body if isinstance(method, Function))
    for node in tree.body:
        if isinstance(node, Function):
            yield node, None
    yield tree, None


def _module(project: Path, path: Path) -> Module | None:
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return None
    if len(text) > _MOST_CHARACTERS or "\r" in text or "\f" in text:
        return None
    parts = path.relative_to(project).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    lines = tuple(text.split("\n"))
    starts = tuple(accumulate((len(line) + 1 for line in lines), initial=0))
    module = Module(name=name, path=path, text=text, tree=tree, lines=lines, starts=starts)
    around = name if is_package else name.rpartition(".")[0]
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            module.defined[node.name] = node
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            _import_from(module, node, around)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    module.imported[alias.asname] = (alias.name, "")
    return module


def _import_from(module: Module, node: ast.ImportFrom, around: str) -> None:
    source = node.module or ""
    if node.level:
        parts = around.split(".")
        above = ".".join(parts[: len(parts) - node.level + 1])
        source = f"{above}.{source}" if source else above
    for alias in node.names:
        module.imported[alias.asname or alias.name] = (source, alias.name)


def _members(owner: ast.ClassDef) -> dict[str, ast.AST]:
    """Return methods, class attributes and what methods set on ``self``."""
    members: dict[str, ast.AST] = {}
    for node in owner.body:
        if isinstance(node, Function):
            members[node.name] = node
            for inner in ast.walk(node):
                target = inner.target if isinstance(inner, ast.AnnAssign) else None
                if isinstance(inner, ast.Assign):
                    target = inner.targets[0]
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    members.setdefault(target.attr, inner)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            members[node.target.id] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            members[node.targets[0].id] = node
    return members


def _signature(module: Module, node: ast.AST) -> str:
    """Return the head of a function; of a class, its own and how it is made."""
    lines = module.lines
    if isinstance(node, ast.ClassDef):
        members = _members(node)
        maker = members.get("__init__")
        fields = [
            lines[each.lineno - 1]
            for each in node.body
            if isinstance(each, ast.AnnAssign | ast.Assign)
        ]
        own = _signature(module, maker) if maker is not None else "\n".join(fields)
        return f"class {node.name}\n{own}"
    if isinstance(node, Function):
        return "\n".join(lines[node.lineno - 1 : max(node.body[0].lineno - 1, node.lineno)])
    return ""
