import * as vscode from "vscode";

import { Server } from "./client";
import { registerCommands } from "./commands";
import { onInterpreterChange } from "./pythonExtension";
import { ReportPanel } from "./reportPanel";
import { SECTION } from "./settings";
import { createStatusItem } from "./statusItem";

let server: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const output = vscode.window.createOutputChannel("torchport", { log: true });
  const trace = vscode.window.createOutputChannel("torchport trace");
  const started = new Server(context.extensionPath, output, trace);
  const report = new ReportPanel(context.extensionUri, started);
  server = started;
  const refresh = () => void started.refresh();
  context.subscriptions.push(
    output,
    trace,
    started,
    report,
    createStatusItem(started),
    registerCommands(started, report, output),
    vscode.workspace.onDidGrantWorkspaceTrust(refresh),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration(SECTION)) {
        refresh();
      }
    }),
  );
  await started.restart();
  const listening = await onInterpreterChange(refresh);
  if (listening !== undefined) {
    context.subscriptions.push(listening);
  }
}

export async function deactivate(): Promise<void> {
  await server?.deactivate();
}
