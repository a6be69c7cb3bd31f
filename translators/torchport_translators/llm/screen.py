"""Looking through a model's code before it runs: it defines what was asked, with the same
signatures, and does nothing but compute.

This is no sandbox: the code runs in a lane, contained, as all code does. It turns away what no port
needs, such as files, processes, the network, or a change of the framework by which ports are judged.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torchport_translators.llm.reply import Fault, ReplyProblem


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PACKAGES = {"jax": ("jax", "flax", "optax"), "mlx": ("mlx",)}
_CUSTOMARY = {
    "jax": {
        "jax": "import jax",
        "jnp": "import jax.numpy as jnp",
        "lax": "from jax import lax",
        "nnx": "from flax import nnx",
        "optax": "import optax",
    },
    "mlx": {
        "mx": "import mlx.core as mx",
        "nn": "import mlx.nn as nn",
        "optim": "import mlx.optimizers as optim",
    },
}
_HARMLESS = frozenset(
    _words(
        "__future__ abc collections contextlib copy dataclasses enum functools itertools math numbers "
        "numpy operator typing typing_extensions warnings jaxtyping einops"
    )
)
_FORBIDDEN_MODULES = frozenset(
    _words(
        "os sys subprocess socket shutil pathlib io tempfile importlib ctypes pickle marshal shelve "
        "builtins inspect gc threading multiprocessing signal asyncio http urllib requests"
    )
)
_FORBIDDEN_CALLS = frozenset(
    _words(
        "eval exec compile open __import__ input breakpoint globals locals vars delattr setattr exit quit "
        "memoryview __builtins__ help"
    )
)
_PLAIN_DUNDERS = frozenset(
    _words(
        "__init__ __call__ __name__ __class__ __doc__ __version__ __post_init__ __len__ __getitem__ "
        "__iter__ __next__ __enter__ __exit__ __repr__ __str__ __eq__ __hash__ __contains__ __bool__ "
        "__add__ __sub__ __mul__ __truediv__ __matmul__ __neg__ __setitem__"
    )
)
_BEYOND = {
    # What reaches files, other processes or Python itself from inside the packages that are allowed.
    "jax": _words(
        "jax._src jax.debug jax.distributed jax.experimental.host_callback jax.experimental.io_callback "
        "jax.experimental.serialize_executable jax.export jax.extend jax.ffi jax.interpreters jax.lib "
        "jax.monitoring jax.profiler jax.pure_callback jax.config jax.numpy.load jax.numpy.save "
        "jax.numpy.savez jax.numpy.fromfile jax.tools jax.clear_caches"
    ),
    "operator": _words("operator.attrgetter operator.methodcaller"),
    "flax": _words("flax.io flax.training flax.config flax.serialization"),
    "mlx": _words(
        "mlx.core.load mlx.core.save mlx.core.savez mlx.core.savez_compressed mlx.core.save_gguf "
        "mlx.core.save_safetensors mlx.core.export_function mlx.core.import_function "
        "mlx.core.export_to_dot mlx.core.metal mlx.core.distributed mlx.core.fast.metal_kernel "
        "mlx.core.fast.cuda_kernel mlx.extension"
    ),
    "numpy": _words(
        "numpy.load numpy.save numpy.savez numpy.savez_compressed numpy.savetxt numpy.loadtxt "
        "numpy.genfromtxt numpy.fromfile numpy.memmap numpy.ctypeslib numpy.f2py numpy.lib numpy.core "
        "numpy._core numpy.testing numpy.DataSource numpy.fromregex numpy.distutils"
    ),
}
_FORBIDDEN_METHODS = frozenset(("tofile", "dump", "dumps", "ctypes"))
_MARK = re.compile(r"[ \t]*#[ \t]*torchport:")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Screened:
    """Code that may be put into a port.

    Attributes:
        code: without the comments by which torchport itself speaks.
        tree: its syntax.
        names: the definitions that were asked for and are in it.
    """

    code: str
    tree: ast.Module
    names: tuple[str, ...]


def screen(code: str, port: str, names: Sequence[str], target: str) -> Screened:
    """Look through a reply's code.

    Args:
        code: what the model wrote.
        port: the port as it is, which parses: its definitions have the signatures to keep, and what
            it uses of Python its author uses.
        names: the definitions that were asked for.
        target: "jax" or "mlx".

    Raises:
        ReplyProblem: it may not be used; the message says why, for person and model.
    """
    theirs = _Names(ast.parse(port))
    code = _with_imports(_without_marks(code), theirs.imported, target)
    tree = _parsed(code)
    there = definitions(theirs.tree)
    given = definitions(tree)
    asked = tuple(name for name in names if name in given)
    if not asked:
        missing = ", ".join(names)
        raise ReplyProblem(Fault.INCOMPLETE, f"The reply does not define {missing}.")
    _Screen(target, theirs.dotted, _Names(tree, theirs.imported)).look(tree)
    for name in asked:
        _same_signature(there[name], given[name], name)
    return Screened(code, tree, asked)


def definitions(tree: ast.Module) -> dict[str, Definition]:
    """The top-level functions and classes of a text, by name; the last of each."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name: node for node in tree.body if isinstance(node, kinds)}


def _without_marks(code: str) -> str:
    """Code without whole lines in which torchport speaks: a model cannot say what was ported."""
    return "".join(line for line in code.splitlines(keepends=True) if not _MARK.match(line))


def _with_imports(code: str, there: Collection[str], target: str) -> str:
    """Code with the customary imports that it takes for granted, and the port has not.

    Raises:
        ReplyProblem: it does not parse.
    """
    tree = _parsed(code)
    bound = {*_Names(tree).imported, *definitions(tree), *there}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - bound
    lines = [line for name, line in _CUSTOMARY[target].items() if name in used]
    # Below it: nothing may stand above an import of `__future__`.
    return "\n".join([code, *lines, ""]) if lines else code


def _parsed(code: str) -> ast.Module:
    try:
        return ast.parse(code)
    except SyntaxError as error:
        line = (error.text or "").strip()
        at = f": {line}" if line else ""
        message = f"The code does not parse at its line {error.lineno}, {error.msg}{at}"
        raise ReplyProblem(Fault.SYNTAX, message) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ReplyProblem(Fault.SYNTAX, f"The code does not parse: {error}") from error


@dataclass(slots=True)
class _Names:
    """What the imported names of a text stand for, and the dotted names that it uses, in full."""

    tree: ast.Module
    around: Mapping[str, str] = field(default_factory=dict[str, str])
    imported: dict[str, str] = field(init=False)
    dotted: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.imported = dict(self.around)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for item in node.names:
                    name = item.asname or item.name.partition(".")[0]
                    self.imported[name] = item.name if item.asname else name
            elif isinstance(node, ast.ImportFrom):
                for item in node.names:
                    self.imported[item.asname or item.name] = f"{node.module}.{item.name}"
        nodes = (n for n in ast.walk(self.tree) if isinstance(n, (ast.Attribute, ast.Name)))
        self.dotted = frozenset(filter(None, map(self.full, nodes)))

    def full(self, node: ast.AST) -> str:
        """The dotted name of what an expression takes from an import; empty for any other one."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.imported:
            return ""
        return ".".join([self.imported[node.id], *reversed(parts)])


@dataclass(slots=True)
class _Screen:
    """One look through a text. `theirs`: the dotted names that the author of the port uses."""

    target: str
    theirs: Collection[str]
    names: _Names
    called: set[ast.expr] = field(default_factory=set[ast.expr])

    def look(self, tree: ast.Module) -> None:
        """
        Raises:
            ReplyProblem: it does what no port needs.
        """
        self.called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in tree.body:
            self._statement(node)
        for node in ast.walk(tree):
            if problem := next(filter(None, self._problems(node)), ""):
                line = getattr(node, "lineno", 1)
                raise ReplyProblem(
                    Fault.FORBIDDEN,
                    f"Line {line} of the reply's code {problem}: no port needs that.",
                )

    def _statement(self, node: ast.stmt) -> None:
        """
        Raises:
            ReplyProblem: importing the code would run more than definitions.
        """
        plain = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
        if isinstance(node, (*plain, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        raise ReplyProblem(
            Fault.FORBIDDEN,
            f"Line {node.lineno} of the reply's code runs when it is imported: only imports, constants "
            "and definitions may stand at its top level.",
        )

    def _problems(self, node: ast.AST) -> Iterator[str]:
        """What is wrong with one node; empty texts are nothing."""
        if isinstance(node, ast.Import):
            yield from (self._imports(item.name) for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "imports a module of the project"
            elif any(item.name == "*" for item in node.names):
                yield f"imports everything from {node.module}"
            else:
                yield from (self._imports(f"{node.module}.{item.name}") for item in node.names)
        elif isinstance(node, ast.Name):
            if node.id in _FORBIDDEN_CALLS or node.id.startswith("__"):
                yield f"uses {node.id}"
            elif node.id == "getattr" and node not in self.called:
                yield "uses getattr other than by calling it"
            else:
                yield self._reaches(self.names.full(node))
        elif isinstance(node, ast.Attribute):
            yield self._attribute(node)
        elif isinstance(node, ast.Call):
            yield self._call(node)
        elif isinstance(node, ast.Global):
            yield "changes a global name"

    def _imports(self, module: str) -> str:
        root = module.partition(".")[0]
        if root == "torch":
            return "imports torch, which a port does without"
        if root not in _HARMLESS and root not in _PACKAGES[self.target]:
            return f"imports {root}"
        return self._reaches(module)

    def _reaches(self, full: str) -> str:
        """Whether a dotted name leads beyond computing."""
        root, *rest = full.split(".")
        if full in self.theirs:
            return ""
        # `warnings.sys` is `sys`; but `jax.scipy.signal` is not `signal`.
        if root in _FORBIDDEN_MODULES or (_FORBIDDEN_MODULES - {"signal"}).intersection(rest):
            return f"uses {full}"
        for beyond in _BEYOND.get(root, ()):
            if full == beyond or full.startswith(f"{beyond}."):
                return f"uses {full}"
        return ""

    def _attribute(self, node: ast.Attribute) -> str:
        full = self.names.full(node)
        if node.attr.startswith("__") and node.attr not in _PLAIN_DUNDERS:
            return f"uses {node.attr}"
        if node.attr.startswith("__") and isinstance(node.ctx, (ast.Store, ast.Del)):
            return f"changes {node.attr}"
        if node.attr in _FORBIDDEN_METHODS and full not in self.theirs:
            return f"uses .{node.attr}"
        if not full:
            return ""
        root = full.partition(".")[0]
        module = root in _HARMLESS or any(root in names for names in _PACKAGES.values())
        if module and any(part.startswith("_") for part in full.split(".")):
            return f"uses {full}, which is private" if full not in self.theirs else ""
        if module and isinstance(node.ctx, (ast.Store, ast.Del)):
            return f"changes {full}"
        return self._reaches(full)

    def _call(self, node: ast.Call) -> str:
        """`getattr` with a name that only shows when it runs."""
        if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            name = node.args[1] if len(node.args) > 1 else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                return f"calls {node.func.id} with a name that is not written out"
            if name.value.startswith("_"):
                return f"uses {name.value}"
        return ""


def _same_signature(old: Definition, new: Definition, name: str) -> None:
    """
    Raises:
        ReplyProblem: a caller of the old definition could not call the new one.
    """
    if isinstance(old, ast.ClassDef) != isinstance(new, ast.ClassDef):
        kind = "class" if isinstance(old, ast.ClassDef) else "function"
        raise ReplyProblem(Fault.SIGNATURE, f"{name} is a {kind}, and must stay one.")
    if isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef):
        bases = [ast.unparse(base) for base in old.bases]
        if [ast.unparse(base) for base in new.bases] != bases:
            raise ReplyProblem(
                Fault.SIGNATURE, f"class {name} must keep its bases: ({', '.join(bases)})."
            )
        there = methods(old)
        for method, node in methods(new).items():
            if method in there:
                _same_parameters(there[method], node, f"{name}.{method}")
        return
    assert not isinstance(old, ast.ClassDef) and not isinstance(new, ast.ClassDef)
    _same_parameters(old, new, name)


def methods(node: ast.ClassDef) -> dict[str, Function]:
    """The methods of a class, by name."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {item.name: item for item in node.body if isinstance(item, kinds)}


def _same_parameters(old: Function, new: Function, name: str) -> None:
    wanted, given = _parameters(old), _parameters(new)
    if "rngs" not in wanted:
        # What draws random numbers needs a source of them, which the rules could not know of.
        given.pop("rngs", None)
    if list(wanted.items()) != list(given.items()):
        raise ReplyProblem(
            Fault.SIGNATURE,
            f"{name} must keep its parameters: ({ast.unparse(old.args)}), not "
            f"({ast.unparse(new.args)}).",
        )


def _parameters(node: Function) -> dict[str, tuple[str, str]]:
    """Each parameter with its kind and default."""
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [""] * (len(plain) - len(arguments.defaults)) + [
        ast.unparse(value) for value in arguments.defaults
    ]
    found = {
        item.arg: ("positional" if number < len(arguments.posonlyargs) else "plain", default)
        for number, (item, default) in enumerate(zip(plain, defaults, strict=True))
    }
    if arguments.vararg:
        found[arguments.vararg.arg] = ("*", "")
    for item, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found[item.arg] = ("keyword", ast.unparse(value) if value else "")
    if arguments.kwarg:
        found[arguments.kwarg.arg] = ("**", "")
    return found
