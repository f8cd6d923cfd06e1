"""The points of the house style that a machine can check, on the sources as they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "midfill_engine": ROOT / "engine" / "midfill_engine",
    "midfill_server": ROOT / "server" / "midfill_server",
}
MODULES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_DEPTH = 2
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}

# Editors and their protocol are the server's business.
NOT_IN_ENGINE = {"midfill_server", "pygls", "lsprotocol"}
# Runtimes and tensors are the engine's.
NOT_IN_SERVER = {"numpy", "onnxruntime", "onnx", "onnx_ir", "torch", "gguf", "tokenizers"}
LSP_TYPES = {"lsprotocol", "pygls"}
# Each takes long to import or is optional, and so is imported inside the function that needs it.
NEVER_AT_IMPORT = {"huggingface_hub", "rich", "torch", "websockets", "platformdirs"}
BACKENDS = {"onnxruntime": {"backends"}, "torch": {"backends", "models"}}


def _is_torchs(path: Path) -> bool:
    """Whether a module is PyTorch's own: nothing imports one before that runtime is opened."""
    return path.parent.name == "models" or path.name.startswith("torch_")


def _id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(node: ast.AST) -> Iterator[str]:
    """Yield the top-level names of the packages that are imported at or below ``node``."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield (child.module or "").partition(".")[0]


def _imports_when_loaded(tree: ast.Module) -> set[str]:
    """Return what importing the module imports: not what stands in functions or for types."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.update(_imports(node))
    return found


def _exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.AnnAssign):
            target = node.target
        if isinstance(target, ast.Name) and target.id == "__all__":
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_packages_are_flat_and_names_say_something(path: Path) -> None:
    package = next(folder for folder in PACKAGES.values() if path.is_relative_to(folder))
    parts = path.relative_to(package).parts
    assert len(parts) <= MAX_DEPTH
    assert not {Path(part).stem for part in parts} & FORBIDDEN_NAMES


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_docstrings_and_exports(path: Path) -> None:
    tree = _tree(path)
    docstring = ast.get_docstring(tree)
    assert docstring, "a module says what it is for"
    only_docstring = len(tree.body) == 1
    if path.name != "__main__.py" and not only_docstring:
        exported = _exported(tree)
        assert exported is not None, "public names are those in __all__"
        assert len(exported) == len(set(exported))
    if path.name == "__init__.py":
        assert "Must never know" in docstring, "a package says what it must never know"


def test_a_public_name_exists() -> None:
    for path in MODULES:
        tree = _tree(path)
        defined = {
            name.id if isinstance(name, ast.Name) else getattr(name, "name", "")
            for name in ast.walk(tree)
            if isinstance(name, ast.Name | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        }
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        missing = set(_exported(tree) or ()) - defined - imported
        assert not missing, f"{_id(path)} exports {missing}, which it does not define"


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_imports_respect_the_two_houses(path: Path) -> None:
    tree = _tree(path)
    imported = set(_imports(tree))
    if path.is_relative_to(PACKAGES["midfill_engine"]):
        assert not imported & NOT_IN_ENGINE
        for runtime, owners in BACKENDS.items():
            if runtime in imported:
                assert path.parent.name in owners, f"{runtime} belongs to {owners}"
        return
    if path.name != "doctor.py":
        # The doctor asks what is installed; it computes nothing.
        assert not imported & NOT_IN_SERVER
    if imported & LSP_TYPES:
        allowed = path.name in {"server.py", "convert.py"} or path.parent.name == "handlers"
        assert allowed, "LSP types stay in server.py, convert.py and handlers/"


def test_the_server_s_rooms_know_each_other_one_way() -> None:
    server = PACKAGES["midfill_server"]
    uses: dict[str, set[str]] = {}
    for path in MODULES:
        if path.parent.parent == server:
            modules = {
                node.module or ""
                for node in ast.walk(_tree(path))
                if isinstance(node, ast.ImportFrom)
            }
            ours = {module for module in modules if module.startswith("midfill_server.")}
            rooms = {module.split(".")[1] for module in ours if module.count(".") > 1}
            uses.setdefault(path.parent.name, set()).update(rooms - {path.parent.name})
    # It raises for a circle.
    assert {"context", "judgement"} <= set(TopologicalSorter(uses).static_order())


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_nothing_heavy_is_imported_before_it_is_used(path: Path) -> None:
    imported = _imports_when_loaded(_tree(path))
    assert not imported & (NEVER_AT_IMPORT - ({"torch"} if _is_torchs(path) else set()))


def test_only_torchs_own_modules_import_each_other_when_loaded() -> None:
    own = {
        path.relative_to(ROOT / "engine").with_suffix("") for path in filter(_is_torchs, MODULES)
    }
    names = {".".join(path.parts) for path in own if path.parts[1] != "runtimes"}
    for path in MODULES:
        if _is_torchs(path) and path.parent.name != "runtimes":
            continue
        loaded = {
            node.module
            for node in _tree(path).body
            if isinstance(node, ast.ImportFrom) and node.module is not None
        }
        assert not loaded & names, f"{_id(path)} imports PyTorch when it is loaded"


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_no_any_in_signatures(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            every = [*node.args.args, *node.args.posonlyargs, *node.args.kwonlyargs]
            annotations = [argument.annotation for argument in every] + [node.returns]
            for annotation in filter(None, annotations):
                names = {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)}
                assert "Any" not in names, f"{node.name} says Any"


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_ignored_findings_say_which_and_why(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        for marker in ("# type: ignore", "# pyright: ignore", "# noqa"):
            if marker in line:
                rest = line.partition(marker)[2]
                assert rest[:1] in ("[", ":"), f"says not which finding: {line.strip()}"
