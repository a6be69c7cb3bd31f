import type {
  DefinitionVerdict, Difference, Errors, Float, InputUsed, LaneInfo, Report, Stage, Status, Verdict,
} from "./protocol";

/** What the page refers to, as the webview may load it. */
export interface Resources {
  cspSource: string;
  nonce: string;
  style: string;
  script: string;
}

const STATUS: Record<Status, string> = {
  verified: "verified",
  diverged: "diverged",
  error: "failed",
  not_run: "not run",
};
const STAGE: Record<Stage, string> = { passed: "passed", failed: "failed", not_run: "not run" };

/** Decades of relative error that bars and histogram show: from 1e-9 to 1. */
const DECADES = 9;
/** float32's unit of rounding, and the error below which a difference counts as precision. */
const MARKS = [2 ** -24, 1e-4];
/** Fewer tensors are read faster in the tables. */
const HISTOGRAM_FROM = 6;
const BAR_WIDTH = 180;

/** The report of a verdict as a page; `focus` is the definition to begin with. */
export function reportPage(report: Report, resources: Resources, focus?: string): string {
  const { verdict } = report;
  const title = `${fileName(verdict.source)} to ${fileName(verdict.port)}`;
  const focused = verdict.definitions.findIndex((definition) => definition.name === focus);
  return page(title, resources, focused >= 0 ? `definition-${focused}` : "", [
    header(verdict),
    report.stale ? staleBanner() : "",
    verdict.error !== "" ? `<div class="banner error" role="alert"><p>${escapeHtml(verdict.error)}</p></div>` : "",
    definitionTable(verdict),
    histogram(verdict.definitions),
    ...verdict.definitions.map(definitionSection),
    noteList(verdict.notes),
    `<footer>${lanes(verdict.lanes)}<p>torchport ${escapeHtml(verdict.torchport)}</p></footer>`,
  ]);
}

/** The page of a file that has no verdict. */
export function emptyPage(file: string, resources: Resources): string {
  return page(`No verdict: ${fileName(file)}`, resources, "", [
    `<h1>No verdict yet</h1><p>${escapeHtml(fileName(file))} and its port have not been run.</p>`,
    toolbar([["check", "Check now"]]),
  ]);
}

/** Text as itself in HTML, in attributes too. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

/** A number to so many significant digits; very large and small ones to two. */
export function formatFloat(value: Float, digits = 7): string {
  if (typeof value === "string") {
    return value;
  }
  if (value === 0 || (Number.isInteger(value) && Math.abs(value) < 1e6)) {
    return String(value);
  }
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6
    ? String(Number(value.toPrecision(digits)))
    : value.toExponential(1).replace("e+", "e");
}

/** Where a relative error lies between 1e-9 (0) and 1 (1); `undefined` for no error at all. */
export function position(relative: Float): number | undefined {
  const value = Number(relative);
  if (value === 0) {
    return undefined;
  }
  return Number.isNaN(value) ? 1 : Math.min(1, Math.max(0, 1 + Math.log10(value) / DECADES));
}

function page(title: string, resources: Resources, focus: string, parts: string[]): string {
  const policy = `default-src 'none'; style-src ${resources.cspSource}; script-src 'nonce-${resources.nonce}'`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escapeHtml(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="stylesheet" href="${escapeHtml(resources.style)}">
</head>
<body>
<main data-focus="${focus}">
${parts.filter((part) => part !== "").join("\n")}
</main>
<script nonce="${resources.nonce}" src="${escapeHtml(resources.script)}"></script>
</body>
</html>`;
}

function header(verdict: Verdict): string {
  const counts = new Map<Status, number>();
  for (const { status } of verdict.definitions) {
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  const summary = [...counts].map(([status, count]) => `${count} ${STATUS[status]}`);
  const facts = [
    ...summary,
    ...verdict.lanes.map((lane) => `${lane.framework} ${lane.version} on ${lane.device}`),
    `${formatSeconds(verdict.seconds)}${verdict.from_store ? ", stored" : ""}`,
  ];
  return `<header>
<h1>${escapeHtml(fileName(verdict.source))} <span aria-hidden="true">→</span><span class="hidden">to</span> ${escapeHtml(fileName(verdict.port))}</h1>
<ul class="facts">${facts.map((fact) => `<li>${escapeHtml(fact)}</li>`).join("")}</ul>
${toolbar([["check", "Check now"], ["source", "Open source"], ["port", "Open port"]])}
</header>`;
}

function toolbar(buttons: [action: string, label: string][]): string {
  const items = buttons.map(([action, label], index) =>
    `<button type="button" data-action="${action}"${index > 0 ? ' class="secondary"' : ""}>${label}</button>`);
  return `<div class="toolbar">${items.join("")}</div>`;
}

function staleBanner(): string {
  return `<div class="banner stale" role="status"><p><strong>Stale.</strong> Source or port has changed since this check; the numbers are of the older text. Check now to renew them.</p></div>`;
}

function definitionTable(verdict: Verdict): string {
  const devices = verdict.lanes.map((lane) => `${lane.framework} ${lane.device}`).join(", ");
  const rows = verdict.definitions.map((definition, index) => {
    const ran = definition.stages.numeric !== "not_run";
    return `<tr>
<th scope="row"><a href="#definition-${index}">${escapeHtml(definition.name)}</a></th>
<td>${badge(definition.status, definition.category)}</td>
${errorCells(ran ? definition.largest : undefined)}
<td>${escapeHtml(gradients(definition))}</td>
<td>${escapeHtml(devices)}</td>
<td class="number">${formatSeconds(definition.seconds)}</td>
</tr>`;
  });
  return `<div class="scroll"><table>
<caption>Definitions, with the largest error of each</caption>
<thead><tr><th scope="col">definition</th><th scope="col">status</th><th scope="col" class="number">absolute</th><th scope="col" class="number">relative</th><th scope="col" class="number">ulp</th><th scope="col">gradients</th><th scope="col">device</th><th scope="col" class="number">time</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody></table></div>`;
}

function definitionSection(definition: DefinitionVerdict, index: number): string {
  return `<section id="definition-${index}" tabindex="-1" aria-labelledby="title-${index}">
<h2 id="title-${index}">${escapeHtml(definition.name)} ${badge(definition.status, definition.category)}</h2>
<p class="message">${escapeHtml(definition.message)}</p>
${stages(definition)}
${differenceTable(definition.differences)}
${errorTable(definition)}
${inputs(definition)}
${noteList(definition.notes)}
${definition.output.trim() === "" ? "" : `<h3>What the code printed</h3><pre tabindex="0">${escapeHtml(definition.output)}</pre>`}
<p class="links"><a href="#" data-action="source" data-line="${definition.source_line}">Source, line ${definition.source_line}</a>${
    definition.port_line === null
      ? ""
      : ` <a href="#" data-action="port" data-line="${definition.port_line}">Port, line ${definition.port_line}</a>`
  }</p>
</section>`;
}

function stages(definition: DefinitionVerdict): string {
  const { spec, numeric } = definition.stages;
  const items: [name: string, what: string, stage: Stage][] = [
    ["spec", "imports, signature, structure, shapes, dtypes, errors raised", spec],
    ["numeric", "outputs, gradients, buffers", numeric],
  ];
  const rows = items.map(([name, what, stage]) =>
    `<li class="${stage}"><strong>${name}</strong> ${STAGE[stage]}<span class="what">${what}</span></li>`);
  return `<h3>Stages</h3><ol class="stages">${rows.join("")}</ol>`;
}

function differenceTable(differences: Difference[]): string {
  if (differences.length === 0) {
    return "";
  }
  const rows = differences.map((difference) => `<tr>
<th scope="row">${escapeHtml(difference.where)}</th>
<td>${escapeHtml(difference.case)}</td>
<td>${escapeHtml(summary(difference))}</td>
<td class="number">${difference.index === null ? "" : `[${difference.index.join(", ")}]`}</td>
${[difference.torch, difference.port, difference.reference, difference.tolerance]
    .map((value) => `<td class="number">${value === null ? "" : escapeHtml(formatFloat(value))}</td>`).join("")}
</tr>`);
  return `<h3>Differences</h3><div class="scroll"><table>
<caption class="hidden">Differences, at the worst element of each</caption>
<thead><tr><th scope="col">where</th><th scope="col">case</th><th scope="col">what</th><th scope="col" class="number">index</th><th scope="col" class="number">torch</th><th scope="col" class="number">port</th><th scope="col" class="number">float64</th><th scope="col" class="number">tolerance</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody></table></div>`;
}

/** The message, without the values that have columns of their own. */
function summary({ message, index }: Difference): string {
  return index === null ? message : message.split("; at ", 1)[0] ?? message;
}

/** The error of each tensor that was compared, by a name for people. */
function tensors(definition: DefinitionVerdict): [name: string, errors: Errors][] {
  if (definition.stages.numeric === "not_run") {
    return [];
  }
  const gradient = ([name, errors]: [string, Errors]): [string, Errors] => [`gradient of ${name}`, errors];
  return [
    ["outputs and buffers", definition.largest],
    ...Object.entries(definition.gradients.inputs).map(gradient),
    ...Object.entries(definition.gradients.parameters).map(gradient),
  ];
}

function errorTable(definition: DefinitionVerdict): string {
  const rows = tensors(definition).map(([name, errors]) =>
    `<tr><th scope="row">${escapeHtml(name)}</th>${errorCells(errors)}<td>${bar(errors.rel)}</td></tr>`);
  if (rows.length === 0) {
    return "";
  }
  return `<h3>Largest errors</h3><div class="scroll"><table>
<caption>Bars: relative error from 1e-9 to 1; the marks are float32's rounding (6e-8) and 1e-4</caption>
<thead><tr><th scope="col">tensor</th><th scope="col" class="number">absolute</th><th scope="col" class="number">relative</th><th scope="col" class="number">ulp</th><th scope="col"><span class="hidden">bar</span></th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody></table></div>`;
}

function errorCells(errors: Errors | undefined): string {
  return [errors?.abs, errors?.rel, errors?.ulp]
    .map((value) => `<td class="number">${value === undefined ? "" : escapeHtml(formatFloat(value, 3))}</td>`)
    .join("");
}

function level(relative: Float): "rounding" | "precision" | "mismatch" {
  const value = Number(relative);
  return value <= 1e-5 ? "rounding" : value < 1e-4 ? "precision" : "mismatch";
}

function bar(relative: Float): string {
  const filled = (position(relative) ?? 0) * BAR_WIDTH;
  const marks = MARKS.map((mark) => {
    const x = ((position(mark) ?? 0) * BAR_WIDTH).toFixed(1);
    return `<line class="mark" x1="${x}" x2="${x}" y1="0" y2="10"/>`;
  });
  return `<svg class="bar" width="${BAR_WIDTH}" height="10" aria-hidden="true"><rect class="track" width="${BAR_WIDTH}" height="10" rx="2"/><rect class="${level(relative)}" width="${filled.toFixed(1)}" height="10" rx="2"/>${marks.join("")}</svg>`;
}

/** How many tensors lie in which decade of relative error, over all definitions. */
function histogram(definitions: DefinitionVerdict[]): string {
  const errors = definitions.flatMap((definition) => tensors(definition).map(([, { rel }]) => rel));
  if (errors.length < HISTOGRAM_FROM) {
    return "";
  }
  const counts = Array.from({ length: DECADES + 1 }, () => 0);
  for (const relative of errors) {
    const place = position(relative);
    const column = place === undefined ? 0 : Math.min(DECADES, 1 + Math.floor(place * DECADES));
    counts[column] = (counts[column] ?? 0) + 1;
  }
  const [width, height, base] = [56, 96, 112];
  const most = Math.max(...counts);
  const columns = counts.map((count, column) => {
    const x = column * width;
    const tall = (count / most) * height;
    const label = column === 0 ? "exact" : `${column === DECADES ? "≥ " : ""}1e${column - 1 - DECADES}`;
    const style = column === 0 ? "rounding" : level(10 ** (column - DECADES - 0.5));
    return `<rect class="${style}" x="${x + 4}" y="${(base - tall).toFixed(1)}" width="${width - 8}" height="${tall.toFixed(1)}" rx="2"/>${
      count > 0 ? `<text x="${x + width / 2}" y="${(base - tall - 4).toFixed(1)}">${count}</text>` : ""
    }<text class="axis" x="${x + width / 2}" y="${base + 15}">${label}</text>`;
  });
  const total = counts.length * width;
  const spoken = counts.flatMap((count, column) => count === 0 ? [] : [
    column === 0 ? `${count} exact`
      : column === DECADES ? `${count} from 1e-1`
      : `${count} from 1e${column - 1 - DECADES} to 1e${column - DECADES}`,
  ]);
  return `<figure>
<figcaption>Relative errors of ${errors.length} outputs and gradients, by decade</figcaption>
<svg class="histogram" viewBox="0 0 ${total} ${base + 22}" role="img" aria-label="${spoken.join(", ")}"><line class="axis" x1="0" x2="${total}" y1="${base}" y2="${base}"/>${columns.join("")}</svg>
</figure>`;
}

function inputs(definition: DefinitionVerdict): string {
  if (definition.inputs === null) {
    return "";
  }
  const { origin, init, call, draws, seed } = definition.inputs;
  const list = (arguments_: InputUsed[]) => arguments_
    .map(({ name, text }) => `<code>${escapeHtml(name)}=${escapeHtml(text)}</code>`).join(" ");
  const rows = [
    ["from", escapeHtml(origin)],
    ["constructed with", list(init)],
    ["called with", list(call)],
    ["cases", escapeHtml(draws.join("; "))],
    ["seed", String(seed)],
  ].filter(([, value]) => value !== "");
  return `<h3>Inputs</h3><dl>${rows.map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join("")}</dl>`;
}

function gradients(definition: DefinitionVerdict): string {
  const { status, reason } = definition.gradients;
  if (status !== "not_compared") {
    return status;
  }
  return reason === "" ? "not compared" : `not compared: ${reason}`;
}

function noteList(notes: string[]): string {
  return notes.length === 0
    ? ""
    : `<h3>Notes</h3><ul>${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("")}</ul>`;
}

function lanes(used: LaneInfo[]): string {
  if (used.length === 0) {
    return "";
  }
  const rows = used.map((lane) =>
    `<li>${escapeHtml(`${lane.framework} ${lane.version} on ${lane.device}`)} <code>${escapeHtml(lane.interpreter)}</code></li>`);
  return `<h3>Lanes</h3><ul>${rows.join("")}</ul>`;
}

function badge(status: Status, category: string | null): string {
  const label = category === null ? "" : ` <span class="category">${escapeHtml(category)}</span>`;
  return `<span class="badge ${status}">${STATUS[status]}</span>${label}`;
}

function fileName(path: string): string {
  return path.split(/[\\/]/).at(-1) ?? path;
}

function formatSeconds(seconds: number): string {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}
