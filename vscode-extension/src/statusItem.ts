import * as vscode from "vscode";

import type { Server } from "./client";
import { statusView } from "./statusText";

const BACKGROUNDS = {
  none: undefined,
  warning: new vscode.ThemeColor("statusBarItem.warningBackground"),
  error: new vscode.ThemeColor("statusBarItem.errorBackground"),
};

/** The item in the status bar: lanes, whether something runs, the last verdict. */
export function createStatusItem(server: Server): vscode.Disposable {
  const item = vscode.window.createStatusBarItem("torchport.status", vscode.StatusBarAlignment.Left, 0);
  item.name = "torchport";
  item.command = "torchport.showMenu";
  const update = () => {
    const view = statusView(server.state, server.status, vscode.workspace.isTrusted);
    item.text = view.text;
    item.tooltip = new vscode.MarkdownString(view.tooltip, true);
    item.accessibilityInformation = { label: view.label, role: "button" };
    item.backgroundColor = BACKGROUNDS[view.severity];
  };
  update();
  item.show();
  return vscode.Disposable.from(item, server.onDidChange(update));
}
