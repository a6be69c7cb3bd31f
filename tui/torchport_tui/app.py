"""The application: a session, what runs it, and the screens."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, cast

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from torchport_checks.options import CheckOptions
from torchport_checks.reports.checked import short
from torchport_checks.sessions import Engine, Session, SessionProblem
from torchport_checks.sessions.engine import Event
from torchport_translators.emit.merge import MergeProblem
from torchport_translators.files import FileProblem
from torchport_translators.output import count
from torchport_tui.messages import FileChanged
from torchport_tui.screens.help import HelpScreen
from torchport_tui.screens.log import LogScreen
from torchport_tui.screens.session import SessionScreen

_KEYS: dict[str, list[tuple[str, str]]] = {
    "Moving": [
        ("↑ ↓  j k", "one line"),
        ("g  G", "first, last"),
        ("]  [", "next, previous failure; in a diff: hunk"),
        ("Enter", "review the definition"),
        ("Tab", "tree or table; in a review: next definition"),
        ("t", "tree of files; Enter there shows only one"),
        ("Escape", "back; takes filter and marks away"),
    ],
    "Which": [
        ("/", "filter by name, path, state, category"),
        ("f", "failures only"),
        ("s  S", "sort by the next column, reverse; or click"),
        ("Space  *", "mark; mark all that are shown"),
    ],
    "Deciding": [
        ("a", "accept what is marked, or at the cursor"),
        ("x", "reject"),
        ("z", "undo the last decision or edit"),
        ("y", "in a diff: this hunk is right"),
        ("n", "in a diff: refuse it, the source's lines stay"),
        ("e", "in a review: edit the port in $EDITOR"),
    ],
    "Running": [
        ("Ctrl+R", "run what is left, or stop"),
        ("r", "check again"),
        ("R", "in a review: run the smallest failing input"),
    ],
    "Else": [
        ("s", "in a diff: side by side, or unified"),
        ("1 2 3", "in a review: diff, verdict, findings"),
        ("c", "copy"),
        ("l", "log"),
        ("Ctrl+P", "all commands, themes, a screenshot"),
        ("q", "quit; the session is kept"),
    ],
}


class TorchportApp(App[None]):
    """The terminal interface of one session."""

    TITLE = "torchport"
    CSS_PATH = "app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
        Binding("ctrl+c", "quit", "Quit", show=False),
    ]

    def __init__(
        self,
        session: Session,
        options: CheckOptions,
        *,
        jobs: int | None = None,
        run: bool = True,
    ) -> None:
        """`run`: begin at once to port and check what is left."""
        super().__init__()
        self.session = session
        self.engine = Engine(session, options, jobs=jobs, listener=self._heard)
        self._run_at_once = run
        self._again = False
        paths = ", ".join(short(Path(path)) for path in session.paths[:2])
        more = f" and {len(session.paths) - 2} more" if len(session.paths) > 2 else ""
        self._main = SessionScreen(session, self.engine, f"{paths}{more} → {session.target}")

    def get_default_screen(self) -> Screen[None]:
        return self._main

    def on_mount(self) -> None:
        if self.session.note:
            self.notify(self.session.note, severity="warning", timeout=15, markup=False)
        self._start(run=self._run_at_once)

    def on_unmount(self) -> None:
        self.engine.close()

    # Running

    def _heard(self, event: Event) -> None:
        self.post_message(FileChanged(event.path, event.text))

    def on_file_changed(self, message: FileChanged) -> None:
        for screen in self.screen_stack:
            screen.post_message(FileChanged(message.path, message.text))

    @work(thread=True, exclusive=True, group="engine", exit_on_error=False)
    def _start(self, *, run: bool = True) -> None:
        """Look at the files, then port and check what is left."""
        try:
            scanned = self.session.scan()
            if changed := [*scanned.added, *scanned.changed, *scanned.removed]:
                self.call_from_thread(self._main.load)
                if scanned.changed:
                    text = f"{count(len(scanned.changed), 'file')} changed since, and begin again."
                    self.notify(text, markup=False)
                self.log(f"{len(changed)} files are new, changed or gone")
            while run:
                self._again = False
                self.engine.run()
                run = self._again
        except SessionProblem as problem:
            self.notify(str(problem), severity="error", timeout=15, markup=False)

    def action_run(self) -> None:
        """Port and check what is left."""
        self._again = True  # what runs already has not seen what was asked for since
        if self.engine.progress().phase == "idle":
            self._start()

    def action_run_or_stop(self) -> None:
        """Run what is left, or stop what runs."""
        if self.engine.progress().phase == "idle":
            self._start()
        else:
            self._stop()

    @work(thread=True)
    def _stop(self) -> None:
        self._again = False
        self.engine.stop()
        self.notify("Stopped; Ctrl+R goes on.", timeout=3)

    # Actions of every screen

    @work(thread=True)
    def action_undo(self) -> None:
        """Take the last decision or edit back."""
        try:
            undone = self.session.undo()
        except (SessionProblem, FileProblem, MergeProblem) as problem:
            self.notify(str(problem), severity="error", markup=False)
            return
        if undone is None:
            self.notify("There is nothing to undo.", timeout=2)
            return
        label, paths = undone
        for path in paths:
            self.post_message(FileChanged(path))
        self.notify(f"Undone: {label}.", timeout=3, markup=False)

    def action_log(self) -> None:
        self.push_screen(LogScreen(self.session))

    def action_keys(self) -> None:
        self.push_screen(HelpScreen("Keys", _KEYS))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the command palette offers."""
        yield from cast("Any", super()).get_system_commands(screen)
        yield SystemCommand(
            "Run or stop", "Port and check what is left, or stop", self.action_run_or_stop
        )
        yield SystemCommand("Undo", "Take the last decision or edit back", self.action_undo)
        yield SystemCommand("Log", "What happened", self.action_log)
        if screen is self._main:
            main = self._main
            yield SystemCommand(
                "Failures only", "Show what somebody has to look at", main.action_failures
            )
            yield SystemCommand("Sort", "By the next column", main.action_sort)
            yield SystemCommand(
                "Accept", "What is marked, or at the cursor", lambda: main.action_decide("accepted")
            )
            yield SystemCommand(
                "Reject", "What is marked, or at the cursor", lambda: main.action_decide("rejected")
            )
            yield SystemCommand(
                "Mark all shown", "For an action on all of them", main.table.list.action_mark_all
            )
