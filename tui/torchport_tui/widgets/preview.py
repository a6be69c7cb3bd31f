"""What is the matter with the definition at the cursor, in a few lines."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from torchport_checks.sessions import Item
from torchport_translators.output import count
from torchport_tui.look import STATES, look


class Preview(Static):
    """The definition at the cursor."""

    def __init__(self) -> None:
        super().__init__(id="preview")

    def show(self, item: Item | None, marked: int) -> None:
        """Show a definition, and how many are marked."""
        if item is None:
            self.update(
                Content.styled("Nothing is shown: Escape takes the filter away.", "$foreground 60%")
            )
            return
        verdict = look(item)
        head: list[str | tuple[str, str]] = [
            (f"{verdict.mark} {item.name}", f"bold {verdict.style}"),
            (f"  {item.path}:{item.line}  ", "$foreground 60%"),
            (item.state.value, STATES[item.state]),
        ]
        if verdict.word:
            head.append((f"  {verdict.word}", verdict.style))
        if item.findings:
            head.append((f"  {item.findings} finding{'s' * (item.findings > 1)}", "$text-warning"))
        if marked:
            head.append((f"  ● {marked} marked", "bold $text-accent"))
        text = item.message
        if item.ported < item.total:
            left = count(item.total - item.ported, "call")
            text = f"{left} of torch not ported: Enter shows which, and what to do."
        self.update(Content("\n").join([Content.assemble(*head), Content(text)]))
