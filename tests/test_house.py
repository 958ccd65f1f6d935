"""The house kept in order: who imports whom, what is public, what is loaded, and the README."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kerasish

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "kerasish"
README = ROOT / "README.md"

# A file may import from lower ranks, from its own package, and from neighbours of its rank, as long
# as the neighbours do not import it back.
RANKS = [
    {"describe", "config", "devices", "figures", "hooks", "keras_words", "modes", "other_tensors"},
    {"registry", "stock_modules"},
    {"activations", "constraints", "custom_objects", "dtype_policies", "initializers", "random"}
    | {"regularizers", "tree", "variables"},
    {"losses", "metrics", "optimizers", "schedules"},
    {"graph"},
    {"ops"},
    {"layers"},
    {"callbacks", "data", "saving", "tta"},
    {"training"},
    {"models"},
    {"applications", "backend", "datasets", "mixed_precision", "report", "transfer", "utils"},
    {"preprocessing"},
    {"__init__"},
]
RANK_OF = {name: rank for rank, names in enumerate(RANKS) for name in names}

OPTIONAL = {
    "IPython",
    "PIL",
    "h5py",
    "hypothesis",
    "keras",
    "matplotlib",
    "pandas",
    "pytest",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
    "tensorboard",
    "timm",
    "torchmetrics",
    "torchvision",
}


# Imports


def module_name(package, file):
    """`kerasish.losses.base` for `losses/base.py`, `kerasish.losses` for `losses/__init__.py`."""
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def top_name(module):
    """The room a module lies in: `losses` for `kerasish.losses.base`, `__init__` for the root."""
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(tree, known):
    """Every (line, module, whether at the top of the file) that a file imports from kerasish."""
    at_top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full, `from kerasish.…`"
            deeper = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in deeper]
        for name in names:
            if name.split(".")[0] == "kerasish":
                yield node.lineno, name, id(node) in at_top


def read_imports(package):
    """For each module of a package folder, the list of its imports."""
    files = {module_name(package, file): file for file in package.rglob("*.py")}
    return {
        module: list(imports_of(ast.parse(file.read_text(encoding="utf-8")), files))
        for module, file in files.items()
    }


def upward_imports(imports):
    """Sentences about imports from a higher rank, and about rooms without one."""
    found = []
    for module, entries in imports.items():
        home = top_name(module)
        if home not in RANK_OF:
            found.append(f"{module}: give '{home}' a rank in tests/test_house.py")
            continue
        for line, name, _ in entries:
            there = top_name(name)
            if there != home and RANK_OF.get(there, 99) > RANK_OF[home]:
                found.append(f"{module}, line {line}: imports {name} from above")
    return found


def cycles(edges):
    """One cycle of a graph {node: nodes} as a list of nodes, or an empty list."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        for target in sorted(edges.get(node, ())):
            if cycle := visit(target):
                return cycle
        done.add(path.pop())
        return []

    return next((cycle for node in sorted(edges) if (cycle := visit(node))), [])


def file_edges(imports):
    return {
        module: {name for _, name, at_top in entries if at_top}
        for module, entries in imports.items()
    }


def room_edges(imports):
    edges = {}
    for module, entries in imports.items():
        targets = {top_name(name) for _, name, _ in entries} - {top_name(module)}
        edges.setdefault(top_name(module), set()).update(targets)
    return edges


def test_no_file_imports_from_above():
    assert upward_imports(read_imports(PACKAGE)) == []


def test_files_import_each_other_without_cycles():
    assert cycles(file_edges(read_imports(PACKAGE))) == []


def test_rooms_import_each_other_without_cycles():
    assert cycles(room_edges(read_imports(PACKAGE))) == []


@pytest.fixture
def copied_package(tmp_path):
    def only_code(folder, names):
        return [n for n in names if not n.endswith(".py") and not (Path(folder) / n).is_dir()]

    return Path(shutil.copytree(PACKAGE, tmp_path / "kerasish", ignore=only_code))


def plant(file, line):
    file.write_text(file.read_text(encoding="utf-8") + line, encoding="utf-8")


@pytest.mark.parametrize(
    "line",
    [
        "\nfrom kerasish import layers\n",
        "\nfrom kerasish.layers import Dense\n",
        "\nimport kerasish.layers.core as core\n",
        "\ndef later():\n    from kerasish.layers.core import Dense\n    return Dense\n",
    ],
    ids=["package", "name", "module", "in a function"],
)
def test_planted_import_from_above_is_found(copied_package, line):
    plant(copied_package / "config.py", line)

    assert [
        text for text in upward_imports(read_imports(copied_package)) if "kerasish.config" in text
    ]


def test_planted_cycles_are_found(copied_package):
    plant(copied_package / "describe.py", "\nfrom kerasish import config\n")
    imports = read_imports(copied_package)

    assert {"kerasish.config", "kerasish.describe"} <= set(cycles(file_edges(imports)))
    assert {"config", "describe"} <= set(cycles(room_edges(imports)))


def test_planted_room_without_a_rank_is_found(copied_package):
    (copied_package / "attic.py").write_text("import torch\n")

    assert "give 'attic' a rank" in "".join(upward_imports(read_imports(copied_package)))


# Public names

PUBLIC = sorted(
    module_name(PACKAGE, file)
    for file in PACKAGE.glob("**/__init__.py")
    if "__all__" in file.read_text(encoding="utf-8")
)


def names_bound(tree):
    """Public names that the top of an `__init__` file imports from kerasish or defines."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kerasish"):
            yield from (alias.asname or alias.name for alias in node.names)


def in_order(names):
    """Ruff's order: constants, classes, the rest; numbers inside names count as numbers."""

    def key(name):
        kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
        return kind, [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]

    return sorted(names, key=key)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_list_is_complete_and_sorted(name):
    module = importlib.import_module(name)
    bound = names_bound(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")))

    listed = list(module.__all__)

    assert {n for n in bound if not n.startswith("_")} - set(listed) == set(), "not in __all__"
    assert [n for n in listed if not hasattr(module, n)] == [], "in __all__ but not there"
    assert listed == in_order(set(listed))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    module = importlib.import_module(name)

    objects = {n: getattr(module, n) for n in module.__all__}

    assert [n for n, o in objects.items() if callable(o) and not o.__doc__] == []


# What is loaded


def modules_after(statement):
    script = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.split())


def test_import_loads_torch_and_nothing_optional():
    added = modules_after("import kerasish") - modules_after("import torch")

    assert {name.split(".")[0] for name in added} & OPTIONAL == set()
    assert not [name for name in added if name.startswith(("torch._dynamo", "torch._inductor"))]


def test_every_public_package_loads_nothing_optional():
    statement = "; ".join(f"import {name}" for name in PUBLIC) or "import kerasish"
    added = modules_after(statement) - modules_after("import torch")

    assert {name.split(".")[0] for name in added} & OPTIONAL == set()


# Files and papers


@pytest.mark.parametrize("folder", ["kerasish", "benchmarks", "examples"])
def test_every_file_says_what_it_is(folder):
    silent = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / folder).rglob("*.py"))
        if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    ]

    assert silent == []


def test_version_is_the_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert kerasish.__version__ == project["version"]


def test_every_listed_name_of_the_root_is_reachable():
    assert set(kerasish.__all__) <= set(dir(kerasish))


needs_readme = pytest.mark.skipif(not README.exists(), reason="there is no README.md yet")


@needs_readme
def test_readme_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = README.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    namespace = {"__name__": "readme"}

    assert blocks
    for block in blocks:
        # Blank lines in front make a traceback show the line number of the README.
        lines_before = text[: block.start(1)].count("\n")
        exec(compile("\n" * lines_before + block[1], str(README), "exec"), namespace)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_paths_named_in_pages_exist(name):
    page = ROOT / name
    if not page.exists():
        pytest.skip(f"there is no {name} here")
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!\w+:|#)([^)#]+)", text)
    mentions = re.findall(
        r"(?<![\w/.:])(?:kerasish|examples|tests|docs|benchmarks)/[\w./-]*\w", text
    )

    assert sorted(path for path in {*links, *mentions} if not (ROOT / path).exists()) == []
