"""The tree of files, with how far each has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from torchport_checks.sessions import Item
from torchport_tui.messages import app_of


class Tally:
    """How many definitions there are below a node, verified or accepted, failed; and calls."""

    __slots__ = ("definitions", "done", "failed", "ported", "total")

    def __init__(self) -> None:
        self.definitions = self.done = self.failed = self.total = self.ported = 0

    def add(self, items: Iterable[Item]) -> None:
        """Count definitions in."""
        for item in items:
            self.definitions += 1
            self.done += item.verified or item.state.decided or item.category == "NOTHING"
            self.failed += item.failed and not item.state.decided
            self.total += item.total
            self.ported += item.ported


class FileTree(Tree[str]):
    """Folders and files; choosing one shows only what is in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
    ]

    class Chosen(Message):
        """A file, or a folder that ends with `/`; empty for all."""

        def __init__(self, below: str) -> None:
            self.below = below
            super().__init__()

    def __init__(self, name: str) -> None:
        super().__init__(name, "", id="files")
        self.show_guides = True
        self.guide_depth = 2
        self.auto_expand = False
        self._by_key: dict[str, TreeNode[str]] = {"": self.root}
        self._tallies: dict[str, Tally] = {}

    def on_mount(self) -> None:
        self.root.expand()

    def show(self, by_path: Mapping[str, Iterable[Item]]) -> None:
        """Show files, each with its definitions."""
        self._tallies = {}
        for path, items in by_path.items():
            found = list(items)
            for key in (path, *_folders(path), ""):
                self._tallies.setdefault(key, Tally()).add(found)
        if self._tallies.keys() | {""} != self._by_key.keys():
            self._rebuild(sorted(by_path))
        self._clear_line_cache()
        self.refresh()

    def _rebuild(self, paths: Iterable[str]) -> None:
        self.root.remove_children()
        self._by_key = {"": self.root}
        for path in paths:
            parent = self.root
            for folder in reversed(_folders(path)):
                if folder not in self._by_key:
                    name = PurePosixPath(folder).name + "/"
                    self._by_key[folder] = parent.add(name, folder, expand=True)
                parent = self._by_key[folder]
            self._by_key[path] = parent.add_leaf(PurePosixPath(path).name, path)

    def render_label(self, node: TreeNode[str], base_style: Style, style: Style) -> Text:
        """The name, a mark, and how much of torch is ported in it."""
        label = super().render_label(node, base_style, style)
        tally = self._tallies.get(node.data or "")
        if tally is None or not tally.definitions:
            return label
        if tally.failed:
            mark, colour = f"✗{tally.failed}", self._colour("text-error")
        elif tally.done == tally.definitions:
            mark, colour = "✓", self._colour("text-success")
        else:
            mark, colour = f"{tally.done}/{tally.definitions}", None
        label.append(f" {mark}", Style(color=colour))
        if tally.ported < tally.total:
            label.append(
                f" {100 * tally.ported // tally.total}%", Style(color=self._colour("text-warning"))
            )
        return label

    def _colour(self, name: str) -> str | None:
        value = app_of(self).theme_variables.get(name, "")
        return value[:7] if value.startswith("#") else None

    def on_tree_node_selected(self, event: Tree.NodeSelected[str]) -> None:
        event.stop()
        self.post_message(self.Chosen(event.node.data or ""))


def _folders(path: str) -> list[str]:
    """The folders of a path, the innermost first, each with `/` at its end."""
    return [f"{parent}/" for parent in PurePosixPath(path).parents if str(parent) not in (".", "/")]
