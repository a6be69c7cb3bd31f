import * as vscode from "vscode";
import type {
  ProgressToken, WorkDoneProgressBegin, WorkDoneProgressEnd, WorkDoneProgressReport,
} from "vscode-languageclient/node";

/** A check that ends sooner is shown by the status item alone: most do, and they run on every save. */
const SHOWN_AFTER_MS = 3000;

interface Running {
  title: string;
  message: string;
  changed: vscode.EventEmitter<string>;
  end: () => void;
}

/** Shows the server's long work as notifications, with Cancel where the server allows it. */
export class LongWork implements vscode.Disposable {
  private readonly running = new Map<ProgressToken, Running>();

  constructor(private readonly cancel: (token: ProgressToken) => void) {}

  handle(
    token: ProgressToken,
    value: WorkDoneProgressBegin | WorkDoneProgressReport | WorkDoneProgressEnd,
  ): void {
    switch (value.kind) {
      case "begin":
        this.begin(token, value);
        break;
      case "report":
        if (value.message !== undefined) {
          this.running.get(token)?.changed.fire(value.message);
        }
        break;
      case "end":
        this.running.get(token)?.end();
        break;
    }
  }

  /** Ends all, e.g. because the server has ended. */
  dispose(): void {
    for (const { end } of this.running.values()) {
      end();
    }
  }

  private begin(token: ProgressToken, value: WorkDoneProgressBegin): void {
    const work: Running = {
      title: value.title,
      message: value.message ?? "",
      changed: new vscode.EventEmitter(),
      end: () => undefined,
    };
    work.changed.event((message) => (work.message = message));
    this.running.set(token, work);
    const ended = new Promise<void>((resolve) => (work.end = resolve));
    const timer = setTimeout(
      () => void this.show(token, work, value.cancellable ?? false, ended),
      SHOWN_AFTER_MS,
    );
    void ended.then(() => {
      clearTimeout(timer);
      work.changed.dispose();
      this.running.delete(token);
    });
  }

  private show(token: ProgressToken, work: Running, cancellable: boolean, ended: Promise<void>): Thenable<void> {
    const location = vscode.ProgressLocation.Notification;
    return vscode.window.withProgress({ location, title: work.title, cancellable }, (progress, cancellation) => {
      progress.report({ message: work.message });
      work.changed.event((message) => progress.report({ message }));
      cancellation.onCancellationRequested(() => this.cancel(token));
      return ended;
    });
  }
}
