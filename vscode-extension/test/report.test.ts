import assert from "node:assert/strict";
import { test } from "node:test";

import type { DefinitionVerdict, Verdict } from "../src/protocol";
import { emptyPage, escapeHtml, formatFloat, position, reportPage } from "../src/report";

const resources = { cspSource: "vscode-webview:", nonce: "n0nce", style: "report.css", script: "report.js" };

const zero = { abs: 0, rel: 0, ulp: 0 };
const block: DefinitionVerdict = {
  name: "Block",
  kind: "module",
  source_line: 8,
  port_line: 63,
  status: "diverged",
  category: "MISMATCH",
  message: "output differs by 0.5 at [0, 1]",
  stages: { spec: "passed", numeric: "failed" },
  largest: { abs: 0.5, rel: 0.25, ulp: "Infinity" },
  gradients: {
    status: "differ",
    reason: "",
    inputs: { x: { abs: 1e-7, rel: 1e-7, ulp: 2 } },
    parameters: { "up.weight": zero, "up.bias": zero, "down.weight": zero, "down.bias": zero },
  },
  inputs: {
    origin: "get_inputs()",
    init: [{ name: "width", text: "16" }],
    call: [{ name: "x", text: "f32[8, 16]" }],
    draws: ["eval, normal"],
    seed: 0,
  },
  differences: [{
    category: "MISMATCH", where: "output", case: "eval, normal", message: "values differ",
    index: [0, 1], torch: 1.5, port: 1, reference: 1.5, tolerance: 0.4,
  }],
  notes: ["a note"],
  output: "printed <b>this</b>",
  seconds: 0.25,
};
const verdict: Verdict = {
  torchport: "0.1.0",
  source: "/w/<model>.py",
  port: "/w/<model>_jax.py",
  target: "jax",
  lanes: [{ framework: "jax", version: "0.10.2", device: "cpu", interpreter: "/py" }],
  definitions: [block],
  error: "",
  category: null,
  notes: [],
  seconds: 1.5,
  from_store: true,
};

test("text is escaped for elements and attributes", () => {
  assert.equal(escapeHtml(`<a href="x" title='y'>&`), "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;");
});

test("nothing of the user's reaches the page as HTML", () => {
  const hostile = "<img src=x onerror=alert(1)>";
  const page = reportPage({
    stale: false,
    verdict: {
      ...verdict,
      torchport: hostile,
      source: hostile,
      port: hostile,
      error: hostile,
      notes: [hostile],
      lanes: [{ framework: hostile, version: hostile, device: hostile, interpreter: hostile }],
      definitions: [{
        ...block,
        name: hostile,
        category: hostile,
        message: hostile,
        output: hostile,
        notes: [hostile],
        largest: { abs: hostile, rel: hostile, ulp: hostile },
        gradients: { status: "not_compared", reason: hostile, inputs: { [hostile]: zero }, parameters: {} },
        inputs: { origin: hostile, init: [{ name: hostile, text: hostile }], call: [], draws: [hostile], seed: 0 },
        differences: [{ ...block.differences[0]!, category: hostile, where: hostile, case: hostile, message: hostile, torch: hostile }],
      }],
    },
  }, resources);
  assert.doesNotMatch(page, /<img/);
});

test("the page loads nothing but its own style and script", () => {
  const page = reportPage({ verdict, stale: false }, resources);
  assert.match(page, /default-src &#39;none&#39;; style-src vscode-webview:; script-src &#39;nonce-n0nce&#39;/);
  assert.doesNotMatch(page, /https?:|style="/);
});

test("the evidence is on the page", () => {
  const page = reportPage({ verdict, stale: false }, resources);
  for (const text of [
    "1 diverged", "jax 0.10.2 on cpu", "1.5 s, stored", "output differs by 0.5 at [0, 1]", "gradient of up.weight",
    "<code>x=f32[8, 16]</code>", "get_inputs()", "a note", "printed &lt;b&gt;", "MISMATCH", "Infinity", "Source, line 8", "Port, line 63",
  ]) {
    assert.ok(page.includes(text), text);
  }
});

test("six tensors or more are also shown as a histogram that can be read aloud", () => {
  assert.match(reportPage({ verdict, stale: false }, resources), /role="img" aria-label="4 exact, 1 from 1e-7 to 1e-6, 1 from 1e-1"/);
  const few = { ...verdict, definitions: [{ ...block, gradients: { ...block.gradients, parameters: {} } }] };
  assert.doesNotMatch(reportPage({ verdict: few, stale: false }, resources), /role="img"/);
});

test("a stale verdict says so", () => {
  assert.match(reportPage({ verdict, stale: true }, resources), /<strong>Stale\.<\/strong>/);
  assert.doesNotMatch(reportPage({ verdict, stale: false }, resources), /Stale/);
});

test("the page begins with the definition that was asked for", () => {
  assert.match(reportPage({ verdict, stale: false }, resources, "Block"), /data-focus="definition-0"/);
  assert.match(reportPage({ verdict, stale: false }, resources, "Gone"), /data-focus=""/);
});

test("a file without a verdict has a page that offers a check", () => {
  assert.match(emptyPage("/w/model.py", resources), /No verdict yet.*data-action="check"/s);
});

test("numbers are short", () => {
  assert.deepEqual(
    [0, 3, 4048, 1.2809186543642115e-7, 0.25, 1.5, 123456789, "NaN"].map((value) => formatFloat(value)),
    ["0", "3", "4048", "1.3e-7", "0.25", "1.5", "1.2e8", "NaN"],
  );
  assert.equal(formatFloat(1.114815, 3), "1.11");
});

test("errors lie on a logarithmic scale", () => {
  assert.equal(position(0), undefined);
  assert.equal(position(1e-12), 0);
  assert.equal(position(1), 1);
  assert.equal(position("Infinity"), 1);
  assert.equal(position("NaN"), 1);
});
