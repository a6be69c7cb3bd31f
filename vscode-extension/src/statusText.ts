import type { Lane, ServerStatus, Status } from "./protocol";

export type ServerState = "starting" | "running" | "stopped" | "failed";

export interface StatusView {
  text: string;
  /** Markdown. */
  tooltip: string;
  /** For screen readers, which do not read icons. */
  label: string;
  severity: "none" | "warning" | "error";
}

const ICONS: Record<Status, string> = {
  verified: "$(pass)",
  diverged: "$(warning)",
  error: "$(error)",
  not_run: "$(circle-outline)",
};

/** What the status item shows. */
export function statusView(
  state: ServerState,
  status: ServerStatus | undefined,
  trusted: boolean,
): StatusView {
  switch (state) {
    case "starting":
      return view("$(loading~spin)", ["The server is starting."], "none");
    case "stopped":
      return view("$(circle-slash)", ["The server is not running."], "warning");
    case "failed":
      return view("$(error)", ["The server could not start: see the output."], "error");
    case "running":
      return running(status, trusted);
  }
}

function running(status: ServerStatus | undefined, trusted: boolean): StatusView {
  const lines = [];
  if (!trusted) {
    lines.push("Rules only: nothing is run until you trust this workspace.");
  }
  const { busy, lanes, last, message } = status ?? NOTHING_YET;
  if (message !== "") {
    lines.push(message);
  }
  if (last !== null) {
    lines.push(`${decodeURIComponent(last.uri.split("/").at(-1) ?? "")}: ${last.text}`);
  }
  if (lines.length === 0) {
    lines.push(busy ? "A check is running." : "Ready.");
  }
  const verdict = busy ? undefined : last?.status;
  const icon = busy ? "$(sync~spin)" : verdict === undefined ? "$(beaker)" : ICONS[verdict];
  const severity = verdict === "diverged" ? "warning" : verdict === "error" ? "error" : "none";
  return view(icon, lines, severity, lanes);
}

const NOTHING_YET: ServerStatus = { busy: false, lanes: [], last: null, message: "" };

function view(
  icon: string,
  lines: string[],
  severity: StatusView["severity"],
  lanes: Lane[] = [],
): StatusView {
  return {
    text: `${icon} torchport`,
    tooltip: [...lines.map(escapeMarkdown), ...laneTable(lanes)].join("\n\n"),
    label: `torchport: ${[...lines, ...lanes.map(spoken)].join(" ")}`,
    severity,
  };
}

function spoken(lane: Lane): string {
  return `Lane ${lane.framework} ${lane.device}: ${lane.state}.`;
}

function laneTable(lanes: Lane[]): string[] {
  if (lanes.length === 0) {
    return [];
  }
  const rows = lanes.map((lane) => {
    const cells = [lane.framework, lane.device, lane.version, lane.state].map(escapeMarkdown);
    return `| ${cells.join(" | ")} |`;
  });
  return [["| lane | device | version | state |", "| --- | --- | --- | --- |", ...rows].join("\n")];
}

/** Text as itself in Markdown, `$(icons)` included. */
export function escapeMarkdown(text: string): string {
  return text.replaceAll(/[\\`*_{}[\]()#+\-.!|<>$~]/g, "\\$&").replaceAll(/\s+/g, " ");
}
