"""One definition: its diff, its verdict, its findings, and the decision."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer, Static

from torchport_checks.replay import Replayed, ReplayError, find_replay, run_replay
from torchport_checks.sessions import Engine, Evidence, Item, Key, Session, SessionProblem, State
from torchport_checks.sessions.hunks import without
from torchport_translators.emit.merge import MergeProblem
from torchport_translators.files import FileProblem
from torchport_tui.describe import findings_text, verdict_text
from torchport_tui.look import STATES, look
from torchport_tui.messages import FileChanged, app_of
from torchport_tui.widgets.diff import DiffView

_PROBLEMS = (SessionProblem, FileProblem, MergeProblem)


class ReviewScreen(Screen[None]):
    """Shows one definition of a list, and goes to the next."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('accepted')", "Accept"),
        Binding("x", "decide('rejected')", "Reject"),
        Binding("z", "app.undo", "Undo", show=False),
        Binding("e", "edit", "Edit"),
        Binding("r", "check", "Check", show=False),
        Binding("R", "replay", "Replay", show=False),
        Binding("tab", "go(1)", "Next", priority=True),
        Binding("shift+tab", "go(-1)", "Previous", show=False, priority=True),
        Binding("1", "pane('diff')", "Diff", show=False),
        Binding("2", "pane('verdict')", "Verdict", show=False),
        Binding("3", "pane('findings')", "Findings", show=False),
        Binding("c", "copy", "Copy", show=False),
        Binding("l", "app.log", "Log", show=False),
        Binding("escape,q", "app.pop_screen", "Back"),
        Binding("question_mark", "app.keys", "Keys"),
    ]

    def __init__(
        self, session: Session, engine: Engine, keys: list[Key], at: int, run: Callable[[], None]
    ) -> None:
        """`run` starts what has to be run."""
        super().__init__()
        self._session, self._engine, self._run = session, engine, run
        self._keys, self._at = keys, at
        self._item: Item | None = None
        self._evidence: Evidence | None = None
        self._replayed: Replayed | None = None
        self.diff = DiffView()

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="panes")
        with ContentSwitcher(initial="diff"):
            yield self.diff
            with VerticalScroll(id="verdict"):
                yield Static()
            with VerticalScroll(id="findings"):
                yield Static()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.diff.focus()
        self.show()
        self._go_to_definition()

    @property
    def key(self) -> Key:
        return self._keys[self._at]

    def show(self) -> None:
        """Show the definition as it is now."""
        items = {item.key: item for item in self._session.items(self.key.path)}
        self._item = item = items.get(self.key)
        if item is None:
            self.dismiss()
            return
        self._evidence = evidence = self._session.evidence(self.key.path)
        if evidence is not None:
            self.diff.show(evidence.original.text, evidence.text)
        else:
            self.diff.show("", "")
        text = verdict_text(item, evidence, self._replayed)
        self.query_one("#verdict > Static", Static).update(text)
        self.query_one("#findings > Static", Static).update(findings_text(item, evidence))
        self._show_title()

    def _pane(self) -> str:
        return self.query_one(ContentSwitcher).current or "diff"

    def _show_title(self) -> None:
        item = self._item
        if item is None:
            return
        seen = look(item)
        parts: list[str | tuple[str, str]] = [
            (f"{seen.mark} {item.name}", f"bold {seen.style}"),
            (f"  {item.path}:{item.line}", "$foreground 60%"),
            (f"  {item.state.value}", STATES[item.state]),
        ]
        if self.diff.hunks:
            taken = sum(map(self.diff.is_taken, range(len(self.diff.hunks))))
            parts.append(f"  hunk {self.diff.hunk + 1} of {len(self.diff.hunks)}, {taken} taken")
        parts.append((f"  {self._at + 1}/{len(self._keys)}", "$foreground 60%"))
        self.query_one("#title", Static).update(Content.assemble(*parts))
        number = len(self._evidence.findings(item.name)) if self._evidence else item.findings
        panes = {
            "diff": "1 Diff",
            "verdict": f"2 Verdict {seen.mark}",
            "findings": f"3 Findings ({number})" if number else "3 Findings",
        }
        here = self._pane()
        text = "  ".join(
            f"[{'reverse bold' if name == here else '$foreground 60%'}]"
            f"[@click=screen.pane('{name}')] {title} [/][/]"
            for name, title in panes.items()
        )
        self.query_one("#panes", Static).update(Content.from_markup(text))

    def _go_to_definition(self) -> None:
        item = self._item
        if item is None:
            return
        with contextlib.suppress(SessionProblem):  # to look is possible all the same
            self._session.decide([item.key], State.REVIEWED)
        app_of(self).post_message(FileChanged(item.path))
        self.call_after_refresh(self.diff.show_definition, item.line, item.port_line)
        self.show()
        if item.ported < item.total:
            self.action_pane("findings")
        elif self._evidence is None or item.failed:
            self.action_pane("verdict")
        else:
            self.action_pane("diff")

    def on_file_changed(self, message: FileChanged) -> None:
        if message.path == self.key.path:
            self.show()

    def on_diff_view_moved(self) -> None:
        self._show_title()

    def on_diff_view_refused(self, message: DiffView.Refused) -> None:
        evidence = self._evidence
        if evidence is not None:
            text = without(evidence.original.text, evidence.text, message.hunk)
            self._revise(text, f"refused a hunk of {self.key.path}")

    # Actions

    def action_go(self, step: int) -> None:
        self._at = (self._at + step) % len(self._keys)
        self._replayed = None
        self.show()
        self._go_to_definition()

    def action_pane(self, name: str) -> None:
        self.query_one(ContentSwitcher).current = name
        self.query_one(f"#{name}").focus()
        self._show_title()

    @work(thread=True)
    def action_decide(self, name: str) -> None:
        state, item = State(name), self._item
        if item is None:
            return
        try:
            decided = self._session.decide([item.key], state)
        except SessionProblem as problem:
            app_of(self).notify(str(problem), severity="error", markup=False)
            return
        app_of(self).post_message(FileChanged(item.path))
        self.post_message(FileChanged(item.path))
        for problem in decided.problems:
            app_of(self).notify(problem, severity="error", markup=False)
        for note in decided.notes:
            app_of(self).notify(note, severity="warning", markup=False)
        for path in decided.written:
            app_of(self).notify(f"{path.name} was written.", timeout=3, markup=False)
        if not decided.problems and len(self._keys) > 1 and self._at + 1 < len(self._keys):
            app_of(self).call_from_thread(self.action_go, 1)

    def action_check(self) -> None:
        try:
            self._session.recheck([self.key.path])
        except SessionProblem as problem:
            self.notify(str(problem), severity="error", markup=False)
            return
        app_of(self).post_message(FileChanged(self.key.path))
        self.show()
        self._run()

    def action_edit(self) -> None:
        evidence = self._evidence
        if evidence is None:
            self.notify("There is no port to edit yet.", severity="warning")
            return
        line = self._item.port_line if self._item else 1
        text = self._edited(evidence, line)
        if text is not None and text != evidence.text:
            self._revise(text, f"edited {self.key.path}")

    def _edited(self, evidence: Evidence, line: int) -> str | None:
        """What the user's editor makes of the port; None where it fails."""
        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        name = Path(command[0]).name
        places = (
            [f"+{line}"] if name in ("vi", "vim", "nvim", "nano", "emacs", "helix", "hx") else []
        )
        encoding = evidence.original.encoding
        with tempfile.TemporaryDirectory(prefix="torchport-") as folder:
            path = Path(folder, evidence.file.port.name)
            path.write_bytes(evidence.text.encode(encoding))
            try:
                with app_of(self).suspend():
                    code = subprocess.run([*command, *places, str(path)], check=False).returncode
                text = path.read_bytes().decode(encoding)
            except (OSError, UnicodeDecodeError) as error:
                self.notify(
                    f"{command[0]} did not edit it: {error}. Set EDITOR.",
                    severity="error",
                    markup=False,
                )
                return None
        if code:
            self.notify(f"{command[0]} ended with {code}: nothing was changed.", severity="warning")
            return None
        return text

    def _revise(self, text: str, label: str) -> None:
        try:
            self._session.revise(self.key.path, text, label)
        except _PROBLEMS as problem:
            self.notify(str(problem), severity="error", markup=False)
            return
        app_of(self).post_message(FileChanged(self.key.path))
        self.show()
        self.notify("The port has changed: r checks it again, z takes it back.", timeout=4)

    @work(thread=True, exclusive=True, group="replay")
    def action_replay(self) -> None:
        found = self._evidence.of(self.key.name) if self._evidence else None
        command = found.smallest.replay if found is not None and found.smallest else ""
        if not command:
            app_of(self).notify("No failing input of it was kept.", severity="warning")
            return
        app_of(self).notify("Running its smallest failing input again ...", timeout=4)
        try:
            path = find_replay(command.split()[-1], self._session.root)
            self._replayed = run_replay(path, self._engine.options)
        except ReplayError as error:
            app_of(self).notify(str(error), severity="error", markup=False)
            return
        app_of(self).call_from_thread(self._show_replay)

    def _show_replay(self) -> None:
        self.show()
        self.action_pane("verdict")

    def action_copy(self) -> None:
        """Copy what the active pane shows: the port, the verdict, or the findings."""
        pane = self._pane()
        item, evidence = self._item, self._evidence
        if item is None:
            return
        if pane == "diff":
            text = evidence.text if evidence else ""
        elif pane == "verdict":
            text = verdict_text(item, evidence, self._replayed).plain
        else:
            text = findings_text(item, evidence).plain
        app_of(self).copy_to_clipboard(text)
        self.notify("Copied.", timeout=2)
