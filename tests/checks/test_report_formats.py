"""Reports for machines and the page: one run with everything in it, in every format.

After a change that is meant: `pytest tests/checks/test_report_formats.py --snapshot-update`.
"""

from __future__ import annotations

import json
import re
import typing
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from torchport.cli import cli
from torchport_checks.picture import picture
from torchport_checks.reports.charts import heat_map, histogram, level
from torchport_checks.reports.checked import Checked
from torchport_checks.reports.formats import FORMATS, format_of
from torchport_checks.reports.github import github
from torchport_checks.reports.html import html
from torchport_checks.reports.junit import junit
from torchport_checks.reports.markup import Markup, joined, tag
from torchport_checks.reports.rules import RULES
from torchport_checks.reports.sarif import sarif
from torchport_checks.reports.schema import schema_text, verdict_schema
from torchport_checks.verdicts import (
    Category,
    DefinitionVerdict,
    Difference,
    Errors,
    Gradients,
    Inputs,
    InputUsed,
    LaneInfo,
    Located,
    Smallest,
    Stages,
    Variant,
    Verdict,
)
from torchport_translators._version import __version__
from torchport_translators.batch import Outcome, Ported
from torchport_translators.files import SourceFile, Text
from torchport_translators.translate import translate

from .conftest import write_pair

ROOT = Path("/project")
TRICKY = "<script>alert('1')</script> & \"quoted\", 100% :: größer\n\x1b[31m\0\udc80"
SOURCE = (
    "import torch\n\n\ndef shared(x: torch.Tensor):\n    return torch.distributed.all_reduce(x)\n"
)

ONES = np.ones((4, 6))
WRONG = ONES + np.arange(24).reshape(4, 6) % 5 * 1e-3
WRONG[2, 3] = np.nan
DIFFERENCES = [
    Difference(
        category=Category.MISMATCH,
        where="output['logits']",
        case="eval, normal",
        message="19 of 24 values differ",
        index=(1, 4),
        torch=1.0,
        port=1.004,
        reference=1.0,
        tolerance=2e-3,
        picture=picture(ONES, WRONG),
    ),
    Difference(
        category=Category.NAN,
        where="gradient of x",
        case="eval, ties",
        message="1 of 2 values is infinite",
        index=(0,),
        torch="-inf",
        port=0.0,
        tolerance=float("inf"),
        picture=picture(np.array([-np.inf, 1]), np.array([0.0, 1])),
    ),
]


def definition(name: str, line: int, **fields: typing.Any) -> DefinitionVerdict:
    values = {
        "kind": "function",
        "port_line": line + 4,
        "status": "verified",
        "message": "Equal",
        **fields,
    }
    return DefinitionVerdict(name=name, source_line=line, **values)


DEFINITIONS = [
    definition(
        "good",
        4,
        stages=Stages(spec="passed", numeric="passed"),
        largest=Errors(abs=1e-7, rel=1e-7, ulp=2),
        gradients=Gradients(status="equal", inputs={"x": Errors(abs=1e-7, rel=3e-7, ulp=5)}),
        inputs=Inputs(
            origin="get_inputs()",
            init=[InputUsed(name="width", text="8")],
            call=[InputUsed(name="x", text="f32[4, 6]", shape=(4, 6), dtype="float32")],
            draws=["normal", "ties"],
        ),
        variants=[
            Variant(framework="jax", device="cpu", form="eager", status="equal"),
            Variant(framework="jax", device="cpu", form="compiled", status="not_compilable",
                    message="TracerBoolConversionError", line=11),
        ],
        seconds=0.5,
    ),
    definition(
        "wrong",
        9,
        status="diverged",
        category=Category.MISMATCH,
        message="output['logits'] (eval, normal): 19 of 24 values differ (1 more)",
        stages=Stages(spec="passed", numeric="failed"),
        largest=Errors(abs=float("inf"), rel=float("inf"), ulp=float("nan")),
        gradients=Gradients(status="differ", parameters={"fc.weight": Errors(abs=1, rel=0.5)}),
        differences=DIFFERENCES,
        notes=["A note."],
        seconds=0.25,
    ),
    definition(
        "shaky",
        14,
        category=Category.ILL_CONDITIONED,
        stages=Stages(spec="passed", numeric="passed"),
        differences=[
            DIFFERENCES[0].model_copy(update={"category": Category.ILL_CONDITIONED, "picture": None})
        ],
    ),
    definition(
        "raises",
        19,
        status="error",
        category=Category.PORT_ERROR,
        message=TRICKY,
        output=TRICKY,
    ),
    definition("given", 24, status="not_run", category=Category.INPUTS, message="No inputs."),
    definition("absent", 29, port_line=None, status="not_run", category=Category.MISSING, message="No such."),
    definition("init", 34, status="not_run", category=Category.NOTHING, message="Through others."),
]  # fmt: skip
LANES = [
    LaneInfo(framework="torch", version="2.13.0", device="cpu", interpreter="python"),
    LaneInfo(framework="jax", version="0.10.2", device="cpu", interpreter="python"),
]
VERDICT = Verdict(
    torchport="0.1.0",
    source="/project/src/a b.py",
    port="/project/src/a_jax.py",
    lanes=LANES,
    definitions=DEFINITIONS,
    seconds=1.0,
)
UNLOADED = Verdict(
    torchport="0.1.0",
    source="/elsewhere/b.py",
    port="/elsewhere/b_jax.py",
    error="The port cannot be imported (b_jax.py:3): No module named 'b'",
    category=Category.LOAD,
)
PORTED = Ported(
    SourceFile(Path("/project/c.py"), Path("c.py")),
    Outcome.WRITTEN,
    Path("/project/c_jax.py"),
    Text(SOURCE),
    translate(SOURCE),
)
LOST = Ported(
    SourceFile(Path("/project/d.py"), Path("d.py")),
    Outcome.FAILED,
    None,
    problem="d.py is not text.",
)
RUN = [Checked(verdict=VERDICT), Checked(verdict=UNLOADED), Checked(PORTED), Checked(LOST)]


class JsonFiles(SingleFileSnapshotExtension):
    """One `.json` file a snapshot."""

    _write_mode = WriteMode.TEXT
    file_extension = "json"


class XmlFiles(SingleFileSnapshotExtension):
    """One `.xml` file a snapshot."""

    _write_mode = WriteMode.TEXT
    file_extension = "xml"


# SARIF


def sarif_log(*results: Checked) -> dict[str, typing.Any]:
    return json.loads(sarif(results, root=ROOT, exit_code=1))


def test_sarif(snapshot: SnapshotAssertion) -> None:
    text = sarif(RUN, root=ROOT, exit_code=1).replace(__version__, "VERSION")
    text.encode()  # no lone surrogate is left
    assert text == snapshot.use_extension(JsonFiles)


def test_sarif_is_whole() -> None:
    """What the specification asks beyond the types: references that lead somewhere."""
    (run,) = sarif_log(*RUN)["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert all(rule["shortDescription"]["text"] and rule["help"]["text"] for rule in rules)
    fingerprints = [result["partialFingerprints"]["torchport/v1"] for result in run["results"]]
    assert len(set(fingerprints)) == len(fingerprints)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        for place in (*result["locations"], *result.get("relatedLocations", ())):
            physical = place["physicalLocation"]
            artifact = physical["artifactLocation"]
            assert artifact.get("uriBaseId") in (None, *run["originalUriBaseIds"])
            assert re.fullmatch(r"[\w./%:-]+", artifact["uri"])
            assert physical.get("region", {"startLine": 1})["startLine"] >= 1
    levels = [(r["ruleId"], r["level"]) for r in run["results"]]
    assert levels == [
        ("not-compilable", "warning"),
        ("MISMATCH", "error"),
        ("NAN", "error"),
        ("ILL_CONDITIONED", "note"),
        ("PORT_ERROR", "error"),
        ("INPUTS", "warning"),
        ("MISSING", "warning"),
        ("LOAD", "error"),
        ("no-rule", "error"),
        ("not-ported", "error"),
    ]
    uris = [unquote(r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]) for r in run["results"]]  # fmt: skip
    # In the port where there is one: that is what is to be mended.
    assert uris == [
        *["src/a_jax.py"] * 6, "src/a b.py", "file:///elsewhere/b.py", "c.py", "d.py"
    ]  # fmt: skip


def test_fingerprints_stay_when_lines_move_and_the_checkout_is_elsewhere() -> None:
    moved = [
        d.model_copy(update={"source_line": d.source_line + 7, "port_line": (d.port_line or 0) + 9})
        for d in DEFINITIONS
        if d.name != "absent"
    ]
    other = VERDICT.model_copy(
        update={"definitions": moved, "source": "/ci/src/a b.py", "port": "/ci/src/a_jax.py"}
    )
    logs = (
        sarif([Checked(verdict=VERDICT)], root=ROOT, exit_code=1),
        sarif([Checked(verdict=other)], root=Path("/ci"), exit_code=1),
    )
    first, second = (
        {
            (r["ruleId"], r["message"]["text"]): r["partialFingerprints"]
            for r in json.loads(log)["runs"][0]["results"]
            if r["ruleId"] != "MISSING"
        }
        for log in logs
    )
    assert first == second


# JUnit


def test_junit(snapshot: SnapshotAssertion) -> None:
    assert junit(RUN) == snapshot.use_extension(XmlFiles)


def test_junit_counts_what_it_holds() -> None:
    root = ET.fromstring(junit(RUN))
    counted = {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "9", "failures": "1", "errors": "3", "skipped": "3"}
    for suite in root:
        assert suite.get("tests") == str(len(suite.findall("testcase")))
    names = [case.get("name") for case in root[0].iter("testcase")]
    assert names == [d.name for d in DEFINITIONS]


# Annotations


def test_what_explains_a_divergence_is_in_every_report_for_people() -> None:
    located = Located(
        of="value", source_line=4, port_line=9, port_first_line=9, source_text="x.std()",
        port_text="jnp.std(x)", source_statement="", port_statement="", certainty="certain",
    )  # fmt: skip
    smallest = Smallest(
        inputs=[InputUsed(name="x", text="f32[2] = [0, 1]")], python="", difference=DIFFERENCES[0],
        replay="torchport replay 3f9c2a", runs=12, seconds=0.5,
    )  # fmt: skip
    explained = {"located": located, "smallest": smallest, "status": "diverged"}
    shown = VERDICT.model_copy(
        update={"definitions": [d.model_copy(update=explained) for d in VERDICT.definitions[:1]]}
    )
    page = html([Checked(verdict=shown)], seconds=1.0)
    for report in (page, junit([Checked(verdict=shown)])):
        assert "jnp.std(x)" in report
        assert "Smallest input" in report
        assert "torchport replay 3f9c2a" in report


def test_annotations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: ROOT)
    lines = github(RUN).splitlines()
    assert lines[0] == (
        "::warning file=src/a_jax.py,line=11,title=torchport%3A not-compilable::good: jax on cpu, "
        "compiled: cannot be compiled (line 11): TracerBoolConversionError"
    )
    assert lines[1] == (
        "::error file=src/a_jax.py,line=13,title=torchport%3A MISMATCH::"
        "wrong: output['logits'] (eval, normal): 19 of 24 values differ"
    )
    assert lines[3].startswith(
        "::notice file=src/a_jax.py,line=18,title=torchport%3A ILL_CONDITIONED::"
    )
    assert (
        lines[6] == "::warning file=src/a b.py,line=29,title=torchport%3A MISSING::absent: No such."
    )
    assert lines[8].startswith("::error file=c.py,line=5,endLine=5,col=12,endColumn=")
    assert len(lines) == 10  # a message of several lines is one
    assert "100%25" in lines[4]
    assert "%0A" in lines[4]


# The page


class Page(HTMLParser):
    """Reads a page, and holds it to being well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, name: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found
            for tag, found in self.tags
            if tag == name
            and all(value in (found.get(key) or "").split() for key, value in attributes.items())
        ]


def page_of(*results: Checked) -> Page:
    return Page(html(results, seconds=2.0))


def test_the_page_has_every_definition_and_what_is_known_of_it() -> None:
    page = page_of(*RUN)
    for item in DEFINITIONS:
        assert item.name in page.text
        assert f"--only {item.name} --fresh" in page.text
    assert len(page.all("details", **{"class": "definition"})) == len(DEFINITIONS)
    # What failed is unfolded.
    assert len([d for d in page.all("details", **{"class": "bad"}) if "open" in d]) == 2
    for text in (
        "2 of 6 verified", "2 definitions diverged or failed", "2 files could not be checked",
        "torch 2.13.0 on cpu", "1.0e-07 (2 ulp)", "3.0e-07 (5 ulp)", "x = f32[4, 6]", "width = 8", "get_inputs()",
        "ran in 2 ways, 1 not equal", "cannot be compiled (line 11)", "normal", "ties", "output['logits']", "1.004", "float64 reference", "0.002", "gradient of x", "-inf",
        "shape [4, 6]: 4 of 24 values equal, 1 finite on one side only", "fc.weight", "A note.",
        "The port cannot be imported", "d.py is not text.", "torch.distributed.all_reduce has no rule",
    ):  # fmt: skip
        assert text in page.text, text


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    page = page_of(*RUN)
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for name, attributes in page.tags:
        assert not {"src", "onclick", "onload", "srcset", "action"} & set(attributes), name
        assert (attributes.get("href") or "#").startswith("#")
    text = html(RUN, seconds=2.0)
    assert not re.search(r"https?:|url\(|@import|javascript:", text)
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_what_code_said_cannot_become_markup() -> None:
    page = page_of(*RUN)
    assert TRICKY[:40] in page.text
    text = html(RUN, seconds=2.0)
    assert "<script" not in text
    assert "\0" not in text
    text.encode()  # no lone surrogate is left


def test_links_lead_somewhere() -> None:
    page = page_of(*RUN)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = [(link["href"] or "").removeprefix("#") for link in page.all("a")]
    assert targets == ["f1", "f3", "d0-1", "d0-3"]
    assert set(targets) <= set(ids)


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ([Checked(verdict=VERDICT.model_copy(update={"definitions": DEFINITIONS[:1]}))], "1 of 1 verified"),
        ([Checked(verdict=VERDICT.model_copy(update={"definitions": []}))], "Nothing to check"),
        ([Checked(verdict=UNLOADED)], "Could not be checked"),
        ([Checked(LOST)], "Could not be checked"),
        ([], "Nothing to check"),
    ],
)  # fmt: skip
def test_the_page_claims_what_the_verdicts_say(results: list[Checked], says: str) -> None:
    assert says in page_of(*results).text


def test_a_page_of_many_definitions_stays_small() -> None:
    long = "a_name_that_does_not_end_" * 8
    many = [definition(f"{long}{i}", i + 1, differences=DIFFERENCES) for i in range(200)]
    text = html([Checked(verdict=VERDICT.model_copy(update={"definitions": many}))], seconds=2.0)
    assert len(text) < 3_000_000
    assert Page(text).text.count(long) >= 200


@pytest.mark.parametrize(
    ("value", "kind"),
    [(-9.0, "h0"), (-7.0, "h0"), (-6.99, "h1"), (-3.0, "h4"), (-0.5, "h7"), (4.0, "h7"),
     (float("inf"), "h8")],
)  # fmt: skip
def test_the_colour_of_an_error(value: float, kind: str) -> None:
    assert level(value) == kind


def test_charts_of_odd_pictures() -> None:
    for torch, port in (
        (np.ones((1, 300)), np.linspace(1, 9, 300)[None]),
        (np.ones((40, 40)), np.full((40, 40), np.nan)),
        (np.arange(3), np.array([2**60, 1, 2])),
        (np.ones((5, 1, 1)), np.full((5, 1, 1), 1 + 1e-7)),
    ):
        found = picture(torch, port)
        index = tuple(size - 1 for size in torch.shape)
        chart, heat = histogram(found, integers=torch.dtype.kind == "i"), heat_map(found, index)
        assert len(Page(chart).all("rect", **{"class": "bar"})) == sum(n > 0 for n in found.counts)
        assert len(Page(heat).all("circle", **{"class": "worst"})) == 1


def test_markup_escapes_all_but_markup() -> None:
    assert tag("p", "a < b & c", tag("br"), class_="x\"'", data_x=1.5, hidden=True, id=None) == (
        '<p class="x&quot;&#x27;" data-x="1.5" hidden>a &lt; b &amp; c<br></p>'
    )
    assert joined("<", Markup("<hr>")) == "&lt;<hr>"


# The schema, and the words


def test_the_documented_schema_is_current() -> None:
    path = Path(__file__).parents[2] / "docs" / "verdict.schema.json"
    assert path.read_text("utf-8") == schema_text(), (
        "Run: python -m torchport_checks.reports.schema > docs/verdict.schema.json"
    )


def check_against(value: typing.Any, schema: typing.Any, definitions: typing.Any) -> bool:
    """Whether a value is of a schema, as far as the verdict's schema goes."""
    if "$ref" in schema:
        return check_against(value, definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if "anyOf" in schema:
        return any(check_against(value, choice, definitions) for choice in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            extra = schema.get("additionalProperties", {})
            return (
                isinstance(value, dict)
                and set(schema.get("required", ())) <= set(value)
                and all(
                    check_against(item, properties.get(key, extra), definitions)
                    for key, item in value.items()
                )
            )
        case "array":
            return isinstance(value, list) and all(
                check_against(item, schema.get("items", {}), definitions) for item in value
            )
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int)
        case "number":
            return isinstance(value, int | float)
        case "null":
            return value is None
        case other:
            raise AssertionError(f"the test does not know {other!r}")


@pytest.mark.parametrize("verdict", [VERDICT, UNLOADED])
def test_a_verdict_is_of_the_schema(verdict: Verdict) -> None:
    schema = verdict_schema()
    text = verdict.model_copy(update={"definitions": [d for d in verdict.definitions if d.name != "raises"]}).model_dump_json()  # fmt: skip
    value = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert check_against(value, schema, schema["$defs"])
    if verdict.definitions:
        value["definitions"][0]["largest"]["abs"] = "much"
        assert not check_against(value, schema, schema["$defs"])


def test_every_category_has_its_words() -> None:
    assert set(RULES) == set(Category)
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
    for rule in RULES.values():
        assert re.fullmatch(r"([A-Z][a-z]+)+", rule.name)
        assert rule.meaning.endswith(".")
        assert rule.advice.endswith(".")


# On the command line


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("r.json", "json"),
        ("r.sarif", "sarif"),
        ("r.sarif.json", "sarif"),
        ("junit.xml", "junit"),
        ("R.HTML", "html"),
        ("r.txt", "terminal"),
        ("report", None),
    ],
)
def test_the_format_of_a_file(name: str, form: str | None) -> None:
    assert format_of(Path(name)) == form


def test_formats_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One check is run; the others find its verdict in the store."""
    (tmp_path / "pyproject.toml").touch()
    source = "# torchport: check(x=f32[4])\ndef f(x):\n    return torch.exp(x)\n"
    write_pair(tmp_path, source, "def f(x):\n    return jnp.exp(x) + 1\n")
    monkeypatch.chdir(tmp_path)
    pair = ("check", "model.py", "model_jax.py")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, [*pair, *arguments])
        assert result.exit_code == 1, result.output
        return result.stdout

    assert json.loads(run("--json"))["verdict"]["definitions"][0]["category"] == "MISMATCH"
    assert json.loads(run("--format", "json"))["exit_code"] == 1
    assert json.loads(run("--format", "sarif"))["runs"][0]["results"][0]["ruleId"] == "MISMATCH"
    assert ET.fromstring(run("--format", "junit").encode()).get("failures") == "1"
    assert run("--format", "github").startswith("::error file=model_jax.py,line=")
    assert run("--format", "html").startswith("<!doctype html>")
    assert "0 of 1 verified" in run("--format", "terminal")

    # A file's format is told by its name, and people still see the report.
    for name, begins in (("r.html", "<!doctype"), ("r.xml", "<?xml"), ("r.txt", "model.py →"),
                         ("r.sarif", '{\n  "$schema"'), ("report", '{\n  "schema_version"')):  # fmt: skip
        assert "0 of 1 verified" in run("-o", name)
        assert Path(name).read_text("utf-8").startswith(begins)
    assert "0 of 1 verified" in run("--format", "html", "--report", "plain")
    assert Path("plain").read_text("utf-8").startswith("<!doctype")
    # What is printed and what is written may be of two formats.
    assert run("--format", "github", "-o", "both.html").startswith("::error")
    assert Path("both.html").read_text("utf-8").startswith("<!doctype")

    # The verdict is shown, and the exit code says that the file is not there.
    Path("file").touch()
    result = CliRunner().invoke(cli, [*pair, "-o", "file/r.html"])
    assert result.exit_code == 2
    assert "0 of 1 verified" in result.stdout
    assert "The report was not written: " in result.stderr

    # `port` has the same options.
    result = CliRunner().invoke(
        cli, ["port", "model.py", "-o", "other", "--format", "github", "--report", "p.html"]
    )
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "1 of 1 verified" in Page(Path("p.html").read_text("utf-8")).text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--json", "--format", "html"), "--json and --format html exclude each other."),
        (("--format", "yaml"), "'yaml' is not one of"),
        (("-o", "."), "is a directory"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path, "", "")
    result = CliRunner().invoke(cli, ["check", "model.py", "model_jax.py", *arguments])
    assert result.exit_code == 2
    assert says in result.stderr


def test_every_format_is_an_option() -> None:
    result = CliRunner().invoke(cli, ["check", "--help"])
    assert all(form in result.output for form in FORMATS)


def test_cleaning_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".torchport").mkdir()
    (tmp_path / ".torchport" / "report.json").write_bytes(bytes(5000))
    assert CliRunner().invoke(cli, ["clean"]).output == (
        ".torchport: 0 verdicts removed, 0 kept, 0 KiB freed.\n"
    )
    data = json.loads(CliRunner().invoke(cli, ["clean", "--all", "--json"]).stdout)
    assert (data["removed"], data["kept"], data["freed"]) == (0, 0, 5000)
    assert not list((tmp_path / ".torchport").iterdir())
