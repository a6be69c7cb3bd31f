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
      return view("$(loading~spin) torchport", "The server is starting.", "none");
    case "stopped":
      return view("$(circle-slash) torchport", "The server is not running.", "warning");
    case "failed":
      return view("$(error) torchport", "The server could not start. Click for the output.", "error");
    case "running":
      return running(status, trusted);
  }
}

function running(status: ServerStatus | undefined, trusted: boolean): StatusView {
  const lines = [];
  if (!trusted) {
    lines.push("Rules only: nothing is run until you trust this workspace.");
  }
  if (status === undefined) {
    return view("$(beaker) torchport", [...lines, "Ready."].join("\n\n"), "none");
  }
  if (status.message !== "") {
    lines.push(escapeMarkdown(status.message));
  }
  if (status.last !== null) {
    const file = status.last.uri.split("/").at(-1) ?? "";
    lines.push(`${ICONS[status.last.status]} ${escapeMarkdown(decodeURIComponent(file))}: ${escapeMarkdown(status.last.text)}`);
  }
  if (status.lanes.length > 0) {
    lines.push(laneTable(status.lanes));
  }
  const icon = status.busy
    ? "$(sync~spin)"
    : status.last === null ? "$(beaker)" : ICONS[status.last.status];
  const verdict = !status.busy && status.last !== null ? status.last.status : undefined;
  return view(
    `${icon} torchport`,
    lines.length > 0 ? lines.join("\n\n") : "Ready.",
    verdict === "diverged" ? "warning" : verdict === "error" ? "error" : "none",
  );
}

function laneTable(lanes: Lane[]): string {
  const rows = lanes.map((lane) => {
    const cells = [lane.framework, lane.device, lane.version, lane.state].map(escapeMarkdown);
    return `| ${cells.join(" | ")} |`;
  });
  return ["| lane | device | version | |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function view(text: string, tooltip: string, severity: StatusView["severity"]): StatusView {
  const plain = tooltip.split("\n\n").filter((part) => !part.startsWith("|")).join(" ");
  return { text, tooltip, label: `torchport: ${plain.replaceAll(/\$\([^)]*\) |\\/g, "")}`, severity };
}

/** Text as itself in Markdown, `$(icons)` included. */
export function escapeMarkdown(text: string): string {
  return text.replaceAll(/[\\`*_{}[\]()#+\-.!|<>$~]/g, "\\$&").replaceAll(/\s+/g, " ");
}
