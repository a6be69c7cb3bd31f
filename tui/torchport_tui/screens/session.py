"""The session: its files, its definitions, how far it is."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Footer, Input

from torchport_checks.sessions import Engine, Item, Key, Session, SessionProblem, State
from torchport_checks.sessions.report import settled
from torchport_translators.output import count
from torchport_tui.messages import FileChanged, app_of
from torchport_tui.rows import COLUMNS, Column, Rows
from torchport_tui.screens.question import Question
from torchport_tui.screens.review import ReviewScreen
from torchport_tui.widgets.definitions import DefinitionList, Definitions, Head
from torchport_tui.widgets.files import FileTree
from torchport_tui.widgets.preview import Preview
from torchport_tui.widgets.status import Status

_REFRESH_SECONDS = 0.1
_PROGRESS_SECONDS = 0.25


class SessionScreen(Screen[None]):
    """The first screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('accepted')", "Accept"),
        Binding("x", "decide('rejected')", "Reject"),
        Binding("z", "app.undo", "Undo"),
        Binding("r", "check", "Check again", show=False),
        Binding("ctrl+r", "app.run_or_stop", "Run/stop"),
        Binding("slash", "filter", "Filter"),
        Binding("f", "failures", "Failures"),
        Binding("s", "sort", "Sort", show=False),
        Binding("S", "reverse", "Reverse", show=False),
        Binding("t", "tree", "Tree", show=False),
        Binding("l", "app.log", "Log", show=False),
        Binding("c", "copy", "Copy", show=False),
        Binding("question_mark", "app.keys", "Keys"),
        Binding("escape", "clear", "Clear", show=False),
        Binding("q", "app.quit", "Quit", show=False),
    ]

    def __init__(self, session: Session, engine: Engine, title: str) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]
        self._session, self._engine = session, engine
        self.rows = Rows()
        self.status = Status(title)
        self.files = FileTree(session.root.name)
        self.table = Definitions(self.rows)
        self.preview = Preview()
        self.filter = Input(
            placeholder="name, path, state, category ...", id="filter", compact=True
        )
        self._changed: set[str] = set()

    def compose(self) -> ComposeResult:
        yield self.status
        with Horizontal():
            yield self.files
            with Vertical():
                yield self.table
                yield self.filter
        yield self.preview
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.filter.display = False
        self.load()
        self.table.list.focus()
        self.set_interval(_REFRESH_SECONDS, self._refresh_changed)
        self.set_interval(_PROGRESS_SECONDS, self._show_progress)

    # What is shown

    def load(self) -> None:
        """Read the whole session."""
        self.rows.by_path = {}
        for item in self._session.items():
            self.rows.by_path.setdefault(item.path, []).append(item)
        self._show_rows(tree=True)

    def on_file_changed(self, message: FileChanged) -> None:
        if message.path:
            self._changed.add(message.path)

    def _refresh_changed(self) -> None:
        """Show what has changed since the last time: ten times a second, whatever happens."""
        changed, self._changed = self._changed, set()
        if not changed:
            return
        for path in changed:
            self.rows.put(path, self._session.items(path))
        self._show_rows(tree=True)

    def _show_rows(self, *, tree: bool = False) -> None:
        self.rows.refresh()
        self.table.rows_changed()
        self.status.show_items(self.rows.all(), len(self.rows.shown))
        if tree:
            self.files.show(self.rows.by_path)

    def _show_progress(self) -> None:
        self.status.show_progress(self._engine.progress())

    def on_definition_list_moved(self, message: DefinitionList.Moved) -> None:
        self.preview.show(message.item, len(self.rows.marked))

    def on_definition_list_opened(self, message: DefinitionList.Opened) -> None:
        keys = [item.key for item in self.rows.shown]
        app_of(self).push_screen(
            ReviewScreen(
                self._session, self._engine, keys, keys.index(message.item.key), self._run_now
            )
        )

    def _run_now(self) -> None:
        app_of(self).call_later(app_of(self).run_action, "app.run")

    # Which, and in which order

    def on_file_tree_chosen(self, message: FileTree.Chosen) -> None:
        self.rows.below = message.below
        self._show_rows()

    def on_head_chosen(self, message: Head.Chosen) -> None:
        self._sort(message.column)

    def action_sort(self) -> None:
        self._sort(COLUMNS[(COLUMNS.index(self.rows.order) + 1) % len(COLUMNS)])

    def _sort(self, column: Column) -> None:
        self.rows.reverse = column == self.rows.order and not self.rows.reverse
        self.rows.order = column
        self._show_rows()

    def action_reverse(self) -> None:
        self.rows.reverse = not self.rows.reverse
        self._show_rows()

    def action_failures(self) -> None:
        self.rows.failures = not self.rows.failures
        self.notify("Failures only." if self.rows.failures else "All definitions.", timeout=2)
        self._show_rows()

    def action_filter(self) -> None:
        self.filter.display = True
        self.filter.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.rows.filter = event.value
        self._show_rows()

    def on_input_submitted(self) -> None:
        self.table.list.focus()
        self.filter.display = bool(self.filter.value)

    def action_clear(self) -> None:
        """Take away one thing after the other: the filter, the marks, failures only, the folder."""
        if self.filter.display:
            self.filter.value = ""
            self.filter.display = False
            self.table.list.focus()
        elif self.rows.marked:
            self.rows.marked = set()
        elif self.rows.failures:
            self.rows.failures = False
        else:
            self.rows.below = ""
        self._show_rows()

    def action_tree(self) -> None:
        if self.files.has_focus or not self._tree_shown():
            shown = not self._tree_shown()
            self.files.set_class(shown, "-shown")
            self.files.set_class(not shown, "-hidden")
            (self.files if shown else self.table.list).focus()
        else:
            self.files.focus()

    def _tree_shown(self) -> bool:
        return bool(self.files.styles.display != "none")

    # What is done

    def action_decide(self, name: str) -> None:
        state = State(name)
        keys = self.rows.targets(self.table.list.cursor)
        chosen = set(keys)
        unverified = chosen - settled(list(self.rows.all()))
        if state is not State.ACCEPTED or len(keys) < 2 or not unverified:
            self._decide(keys, state)
            return

        def answered(answer: str | None) -> None:
            if answer == "verified":
                self._decide([key for key in keys if key not in unverified], state)
            elif answer == "all":
                self._decide(keys, state)

        number = f"{len(unverified)} of {count(len(keys), 'definition')}"
        answers = {"verified": "Only the verified", "all": "All of them"}
        app_of(self).push_screen(
            Question(f"{number} are not verified. Accept them?", answers), answered
        )

    @work(thread=True)
    def _decide(self, keys: list[Key], state: State) -> None:
        try:
            decided = self._session.decide(keys, state)
        except SessionProblem as problem:
            app_of(self).notify(str(problem), severity="error", markup=False)
            return
        for path in {key.path for key in keys}:
            app_of(self).post_message(FileChanged(path))
        self.rows.marked.clear()
        if len(keys) > 1 or decided.written:
            written = f", {count(len(decided.written), 'port')} changed" if decided.written else ""
            text = f"{count(decided.number, 'definition')} {state.value}{written}."
            app_of(self).notify(text, timeout=3)
        for problem in decided.problems[:3]:
            app_of(self).notify(problem, severity="error", markup=False)
        for note in decided.notes[:3]:
            app_of(self).notify(note, severity="warning", markup=False)
        if len(decided.problems) > 3:
            app_of(self).notify(f"and {len(decided.problems) - 3} more problems", severity="error")

    def action_check(self) -> None:
        """Check the marked definitions' files, or that at the cursor, anew."""
        paths = {key.path for key in self.rows.targets(self.table.list.cursor)}
        try:
            self._session.recheck(sorted(paths))
        except SessionProblem as problem:
            self.notify(str(problem), severity="error", markup=False)
            return
        for path in paths:
            app_of(self).post_message(FileChanged(path))
        self._run_now()

    def action_copy(self) -> None:
        """Copy the rows that are marked, or that at the cursor."""
        keys = set(self.rows.targets(self.table.list.cursor))
        lines = [_line(item) for item in self.rows.all() if item.key in keys]
        app_of(self).copy_to_clipboard("\n".join(lines))
        self.notify(f"{count(len(lines), 'line')} copied.", timeout=2)


def _line(item: Item) -> str:
    parts = (f"{item.path}:{item.line}", item.name, item.state.value, item.status, item.message)
    return "\t".join(parts)
