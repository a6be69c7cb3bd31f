import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  ExecuteCommandRequest,
  LanguageClient,
  type LanguageClientOptions,
  RevealOutputChannelOn,
  State,
  WorkDoneProgressCancelNotification,
} from "vscode-languageclient/node";

import { LongWork } from "./progress";
import type { ServerStatus } from "./protocol";
import { bundledAbi, type Command, probe, serverCommand } from "./serverCommand";
import { commandSetting, interpreterOf, pathSetting, SECTION } from "./settings";
import type { ServerState } from "./statusText";

/** Until it has started, its errors are only logged: whoever starts it tells the user, once. */
class Client extends LanguageClient {
  started = false;

  override error(text: string, data?: unknown, show?: boolean | "force"): void {
    super.error(text, data, this.started ? show : false);
  }
}

/** The language server, as the extension sees it: one process for the window. */
export class Server implements vscode.Disposable {
  private client: Client | undefined;
  private command: Command | undefined;
  private work: LongWork | undefined;
  private trustSent = false;
  /** Starts and stops happen one after the other. */
  private queue: Promise<void> = Promise.resolve();
  private readonly changed = new vscode.EventEmitter<void>();

  readonly onDidChange = this.changed.event;
  state: ServerState = "stopped";
  status: ServerStatus | undefined;

  constructor(
    private readonly extensionFolder: string,
    private readonly output: vscode.LogOutputChannel,
    private readonly trace: vscode.OutputChannel,
  ) {}

  /** Starts the server, or ends it and starts it again. */
  restart(): Promise<void> {
    return this.enqueue(async () => {
      await this.stop();
      await this.start();
    });
  }

  /** Tells the server of changed settings, interpreters or trust; starts another where it has to be. */
  refresh(): Promise<void> {
    return this.enqueue(async () => {
      const client = this.client;
      const command = await this.findCommand();
      if (command === undefined) {
        return;
      }
      if (client?.state !== State.Running || JSON.stringify(command) !== JSON.stringify(this.command)) {
        await this.stop();
        await this.start(command);
        return;
      }
      if (vscode.workspace.isTrusted && !this.trustSent) {
        this.trustSent = true;
        await client.sendNotification("torchport/trust", { trusted: true });
        this.changed.fire();
      }
      await client.sendNotification("workspace/didChangeConfiguration", { settings: null });
    });
  }

  /** Runs a command of the server. */
  async execute(command: string, ...args: unknown[]): Promise<unknown> {
    if (this.client?.state !== State.Running) {
      throw new Error("The torchport server is not running: see the output, or restart the server.");
    }
    return this.client.sendRequest(ExecuteCommandRequest.type, { command, arguments: args });
  }

  async deactivate(): Promise<void> {
    await this.enqueue(() => this.stop());
  }

  dispose(): void {
    this.changed.dispose();
  }

  private enqueue(action: () => Promise<void>): Promise<void> {
    const done = this.queue.then(action);
    this.queue = done.catch(() => undefined);
    return done;
  }

  private async start(known?: Command): Promise<void> {
    this.setState("starting");
    const command = known ?? await this.findCommand();
    if (command === undefined) {
      return;
    }
    this.command = command;
    this.output.info(`Starting ${[command.command, ...command.args].join(" ")}`);
    const client = new Client(
      SECTION,
      "torchport",
      command,
      this.clientOptions(),
    );
    this.client = client;
    this.trustSent = vscode.workspace.isTrusted;
    client.onNotification("torchport/status", (status: ServerStatus) => {
      this.status = status;
      this.changed.fire();
    });
    client.onDidChangeState(({ newState }) => {
      if (this.client !== client) {
        return;
      }
      if (newState === State.Stopped) {
        this.work?.dispose();
        this.status = undefined;
      }
      const states = { [State.Starting]: "starting", [State.Running]: "running", [State.Stopped]: "stopped" } as const;
      this.setState(states[newState]);
    });
    try {
      await client.start();
      client.started = true;
    } catch (error) {
      await this.fail(
        `The torchport server did not start: ${message(error)}. See the output, and check the `
        + "settings torchport.interpreter and torchport.server.command.",
      );
    }
  }

  private async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    this.status = undefined;
    this.work?.dispose();
    if (client?.needsStop() === true) {
      try {
        await client.dispose();
      } catch (error) {
        this.output.warn(`The server did not end as it should: ${message(error)}`);
      }
    }
    this.setState("stopped");
  }

  /** The command for the server; where there is none, says why. */
  private async findCommand(): Promise<Command | undefined> {
    const folder = vscode.workspace.workspaceFolders?.[0];
    const [command, ...args] = commandSetting(folder);
    if (command !== undefined) {
      return { command, args };
    }
    try {
      const interpreter = await interpreterOf(folder?.uri);
      const probed = await probe(interpreter, this.extensionFolder);
      return serverCommand(interpreter, probed, this.extensionFolder, await bundledAbi(this.extensionFolder));
    } catch (error) {
      await this.fail(message(error));
      return undefined;
    }
  }

  private async fail(text: string): Promise<void> {
    this.output.error(text);
    await this.stop();
    this.setState("failed");
    const [choose, settings, output] = ["Choose Interpreter", "Open Settings", "Show Output"];
    const hasPython = vscode.extensions.getExtension("ms-python.python") !== undefined;
    void vscode.window.showErrorMessage(text, ...(hasPython ? [choose] : []), settings, output).then((choice) => {
      switch (choice) {
        case choose:
          return vscode.commands.executeCommand("python.setInterpreter");
        case settings:
          return vscode.commands.executeCommand("workbench.action.openSettings", "torchport.interpreter");
        case output:
          return this.output.show();
        default:
          return undefined;
      }
    });
  }

  private setState(state: ServerState): void {
    this.state = state;
    this.changed.fire();
  }

  private clientOptions(): LanguageClientOptions {
    const work = new LongWork((token) =>
      void this.client?.sendNotification(WorkDoneProgressCancelNotification.type, { token }));
    this.work = work;
    let crashes = 0;
    return {
      documentSelector: [
        { scheme: "file", language: "python" },
        { scheme: "vscode-notebook-cell", language: "python" },
      ],
      // Asked for again when a server that crashed is started again.
      initializationOptions: () => ({ trusted: vscode.workspace.isTrusted, client: "vscode" }),
      outputChannel: this.output,
      traceOutputChannel: this.trace,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      diagnosticPullOptions: { onChange: true },
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue }),
        closed: () => {
          if (this.client?.started !== true) {
            return { action: CloseAction.DoNotRestart, handled: true };
          }
          crashes += 1;
          return crashes <= MOST_RESTARTS
            ? { action: CloseAction.Restart }
            : {
              action: CloseAction.DoNotRestart,
              message: `The torchport server ended ${crashes} times and is not started again: see the output, then restart the server.`,
            };
        },
      },
      middleware: {
        handleWorkDoneProgress: (token, value, next) => {
          work.handle(token, value);
          // The client's own part shows nothing without `begin`, and is released by `end`.
          if (value.kind === "end") {
            next(token, value);
          }
        },
        resolveCodeAction: async (item, cancellation, next) => {
          const action = await next(item, cancellation);
          return action?.kind !== undefined && PORT_KIND.contains(action.kind) ? showingPort(action) : action;
        },
        workspace: {
          configuration: async (params, cancellation, next) => {
            const answers = await next(params, cancellation);
            return Array.isArray(answers)
              ? Promise.all(params.items.map((item, index) => item.section === SECTION
                ? completeSettings(answers[index], item.scopeUri)
                : answers[index]))
              : answers;
          },
        },
      },
    };
  }
}

const MOST_RESTARTS = 4;
const PORT_KIND = vscode.CodeActionKind.RefactorRewrite.append("torchport");

/** A port that goes into another file than the one at hand is shown beside it. */
function showingPort(action: vscode.CodeAction): vscode.CodeAction {
  const here = vscode.window.activeTextEditor?.document.uri.toString();
  const [port] = action.edit?.entries().find(([uri]) => uri.toString() !== here) ?? [];
  if (port !== undefined) {
    action.command = { title: "Show Port", command: "torchport.showPort", arguments: [port, action.command] };
  }
  return action;
}

/** The settings of a folder with its interpreter, and with paths as a process can use them. */
async function completeSettings(settings: unknown, scope: string | undefined): Promise<unknown> {
  const folder = scope === undefined
    ? undefined
    : vscode.workspace.getWorkspaceFolder(vscode.Uri.parse(scope))?.uri ?? vscode.Uri.parse(scope);
  return {
    ...settings as object,
    interpreter: await interpreterOf(folder),
    python: { torch: pathSetting("python.torch", folder), jax: pathSetting("python.jax", folder) },
  };
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
