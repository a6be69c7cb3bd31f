"""JUnit XML, as build servers read it: a suite per pair of files, a test case per definition."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from xml.etree import ElementTree as ET

from torchport_checks.reports.checked import (
    Checked,
    explained,
    indirect,
    lanes_of,
    odd_variants,
    variant_text,
)
from torchport_checks.verdicts import Category, DefinitionVerdict, Verdict
from torchport_translators.batch import Outcome

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(results: Sequence[Checked]) -> str:
    """The report as an XML document. A failure is a divergence; an error, code that did not run."""
    root = ET.Element("testsuites", name="torchport")
    for result in results:
        _suite(root, result)
    _count(root)
    root.set("time", _seconds(sum(float(suite.get("time", 0)) for suite in root)))
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def _suite(root: ET.Element, result: Checked) -> None:
    suite = ET.SubElement(root, "testsuite", name=_clean(result.name))
    verdict, ported = result.verdict, result.ported
    if verdict is not None:
        _properties(suite, verdict, result.port)
        for definition in verdict.definitions:
            _case(suite, result, definition)
        if verdict.error:
            _whole(suite, result, verdict.error, verdict.category)
    elif ported is not None and ported.outcome is Outcome.FAILED:
        _whole(suite, result, ported.problem or "", None)
    _count(suite)
    suite.set("time", _seconds(sum(float(case.get("time", 0)) for case in suite.iter("testcase"))))


def _properties(suite: ET.Element, verdict: Verdict, port: str) -> None:
    properties = ET.SubElement(suite, "properties")
    values = [("torchport", verdict.torchport), ("port", port)]
    for name, value in (*values, *(("lane", lane) for lane in lanes_of([verdict]))):
        ET.SubElement(properties, "property", name=name, value=_clean(value))


def _case(suite: ET.Element, result: Checked, definition: DefinitionVerdict) -> None:
    case = _new_case(suite, result, definition.name, definition.seconds)
    case.set("line", str(definition.source_line))
    first = (definition.message.splitlines() or [""])[0]
    kind = definition.category.value if definition.category else definition.status
    differences = [f"{d.where} ({d.case}): {d.message}" for d in definition.differences]
    text = "\n".join([definition.message, *explained(definition), *differences[1:]])
    match definition.status:
        case "diverged":
            _add(case, "failure", text, message=first, type=kind)
        case "error":
            _add(case, "error", text, message=first, type=kind)
        case "not_run":
            why = "It is checked through what uses it." if indirect(definition) else first
            _add(case, "skipped", None, message=why)
        case "verified":
            pass
    variants = map(variant_text, odd_variants(definition))
    out = "\n".join([*variants, *definition.notes, definition.output]).strip()
    if out:
        _add(case, "system-out", out)


def _whole(suite: ET.Element, result: Checked, message: str, category: Category | None) -> None:
    """A test case for the pair, which could not be checked."""
    case = _new_case(suite, result, PurePath(result.name).name, 0.0)
    first = (message.splitlines() or [""])[0]
    _add(case, "error", message, message=first, type=category.value if category else "error")


def _new_case(suite: ET.Element, result: Checked, name: str, seconds: float) -> ET.Element:
    path = PurePath(result.name)
    return ET.SubElement(
        suite,
        "testcase",
        classname=_clean(".".join(path.with_suffix("").parts)),
        name=_clean(name),
        file=_clean(path.as_posix()),
        time=_seconds(seconds),
    )


def _add(case: ET.Element, name: str, text: str | None, **attributes: str) -> None:
    values = {key: _clean(value) for key, value in attributes.items()}
    ET.SubElement(case, name, values).text = None if text is None else _clean(text)


def _count(element: ET.Element) -> None:
    element.set("tests", str(len(element.findall(".//testcase"))))
    element.set("failures", str(len(element.findall(".//failure"))))
    element.set("errors", str(len(element.findall(".//error"))))
    element.set("skipped", str(len(element.findall(".//skipped"))))


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _clean(text: str) -> str:
    """Without what XML cannot hold: control characters and lone surrogates."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
