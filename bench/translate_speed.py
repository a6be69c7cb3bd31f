"""How fast `translate` is: lines a second once loaded, and a cold start on a file of 200 lines.

    python bench/translate_speed.py [--lines 20000] [--rounds 5]

The text is made of the files under examples/, each copy's definitions under names of their own.
The best of several rounds counts. Processor time says the same on a busy machine as on an idle
one; wall time is what a user waits.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from torchport_translators.translate import translate

EXAMPLES = Path(__file__).parent.parent / "examples"
_DEFINED = re.compile(r"^(?:class|def) (\w+)", re.MULTILINE)


def program(lines: int) -> str:
    """A program of about that many lines: the examples, each copy with names of its own."""
    texts = [path.read_text("utf-8") for path in sorted(EXAMPLES.glob("*.py"))]
    parts: list[str] = []
    count = copy = 0
    while count < lines:
        text = texts[copy % len(texts)]
        names = "|".join(_DEFINED.findall(text))
        part = re.sub(rf"\b({names})\b", rf"\1_{copy}", text) if copy >= len(texts) else text
        parts.append(part)
        count += part.count("\n")
        copy += 1
    text = "".join("".join(parts).splitlines(keepends=True)[:lines])
    return text[: text.rindex("\n\n\n") + 1]  # without the definition that is cut short


def seconds(text: str, rounds: int) -> tuple[float, float]:
    """Processor and wall time that `translate` takes on a text, once loaded."""
    translate(text[:5000])
    processor, wall = float("inf"), float("inf")
    for _ in range(rounds):
        starts = time.process_time(), time.perf_counter()
        translate(text)
        processor = min(processor, time.process_time() - starts[0])
        wall = min(wall, time.perf_counter() - starts[1])
    return processor, wall


def cold_start(text: str, rounds: int) -> float:
    """Seconds that `python -m torchport translate` takes on a text, interpreter included."""
    best = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.py"
        path.write_text(text, "utf-8")
        command = [sys.executable, "-m", "torchport", "translate", str(path), "--stdout"]
        for _ in range(rounds):
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, check=False)
            best = min(best, time.perf_counter() - start)
            if not done.stdout:
                raise SystemExit(done.stderr.decode())
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    text = program(options.lines)
    processor, wall = seconds(text, options.rounds)
    lines = text.count("\n")
    print(
        f"translate: {lines / processor:,.0f} lines/s of processor time, "
        f"{lines / wall:,.0f} lines/s of wall time ({lines:,} lines)"
    )
    print(f"cold start on 200 lines: {cold_start(program(200), options.rounds) * 1000:,.0f} ms")


if __name__ == "__main__":
    main()
