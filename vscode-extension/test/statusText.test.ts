import assert from "node:assert/strict";
import { test } from "node:test";

import type { ServerStatus } from "../src/protocol";
import { escapeMarkdown, statusView } from "../src/statusText";

const idle: ServerStatus = {
  busy: false,
  lanes: [{ framework: "torch", device: "cpu", version: "2.13.0", state: "idle" }],
  last: { uri: "file:///a/my%20model.py", status: "verified", text: "2 verified" },
  message: "",
};

test("each state of the server has a text of its own", () => {
  const states = ["starting", "running", "stopped", "failed"] as const;
  const views = states.map((state) => statusView(state, undefined, true));
  assert.equal(new Set(views.map(({ text }) => text)).size, states.length);
  assert.equal(new Set(views.map(({ label }) => label)).size, states.length);
});

test("the last verdict is shown by icon, tooltip and label", () => {
  const shown = statusView("running", idle, true);
  assert.equal(shown.text, "$(pass) torchport");
  assert.equal(shown.label, "torchport: my model.py: 2 verified Lane torch cpu: idle.");
  assert.match(shown.tooltip, /\| torch \| cpu \| 2\\\.13\\\.0 \| idle \|/);
  assert.equal(shown.severity, "none");
});

test("a divergence is a warning, a failed check an error, and neither while a check runs", () => {
  const severity = (status: "diverged" | "error", busy: boolean) =>
    statusView("running", { ...idle, busy, last: { uri: "file:///m.py", status, text: "x" } }, true).severity;
  assert.equal(severity("diverged", false), "warning");
  assert.equal(severity("error", false), "error");
  assert.equal(severity("diverged", true), "none");
});

test("an untrusted workspace is said to be one", () => {
  assert.match(statusView("running", undefined, false).label, /nothing is run until you trust/);
});

test("what the server says is shown as text, not as Markdown", () => {
  assert.equal(escapeMarkdown("$(zap) <b>*x*</b> | a\nb"), "\\$\\(zap\\) \\<b\\>\\*x\\*\\</b\\> \\| a b");
});
