// Sends what the user chooses to the extension, and brings the chosen definition into view.
const vscode = acquireVsCodeApi();

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-action]");
  if (target === null) {
    return;
  }
  event.preventDefault();
  const line = target.dataset.line;
  vscode.postMessage({ action: target.dataset.action, line: line === undefined ? 1 : Number(line) });
});

const { focus } = document.querySelector("main").dataset;
if (focus !== "") {
  const section = document.getElementById(focus);
  section.scrollIntoView();
  section.focus({ preventScroll: true });
}
