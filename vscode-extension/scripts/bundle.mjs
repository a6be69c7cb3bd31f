// Installs the server and what it depends on into bundled/, for the Python and platform of PYTHON.
//
// tree-sitter, pydantic-core and numpy are native, so a bundle fits one Python version on one
// platform: bundle.json says which, and the extension uses the bundle only where it fits.
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";

const python = process.env.PYTHON ?? "python3";
rmSync("bundled", { recursive: true, force: true });
execFileSync(
  python,
  ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
    "--target", "bundled", "--constraint", "../constraints.txt", ".."],
  { stdio: "inherit" },
);
const abi = execFileSync(
  python,
  ["-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"],
  { encoding: "utf8" },
).trim();
writeFileSync("bundled/bundle.json", `${JSON.stringify({ abi })}\n`);
console.log(`bundled/ holds the server for Python extensions named *${abi}`);
