// Makes dist/midfill-VERSION.vsix, with the server's wheel from server/ inside.
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const wheels = globSync("server/*.whl");
if (wheels.length !== 1) {
  console.error(`server/ must hold the server's wheel and no other, not ${wheels.length}:`);
  console.error("  python -m pip wheel --no-deps --wheel-dir editors/vscode/server .");
  process.exit(1);
}
mkdirSync("dist", { recursive: true });
const vsce = "node_modules/@vscode/vsce/vsce";
const out = `dist/midfill-${version}.vsix`;
// The editor shows pictures on an extension's page from the web or from the page itself, and from no
// file beside it; vsce refuses the latter two unless it is told to leave the links as they are.
const page = "dist/README.md";
writeFileSync(page, readFileSync("README.md", "utf8").replace(/\]\((media\/.+\.png)\)/g, (_, file) => {
  return `](data:image/png;base64,${readFileSync(file, "base64")})`;
}));
// The build has bundled the dependencies.
const flags = ["--no-dependencies", "--allow-missing-repository", "--no-rewrite-relative-links"];
const args = [vsce, "package", ...flags, "--readme-path", page, "--out", out];
const run = spawnSync(process.execPath, args, { stdio: "inherit" });
process.exit(run.status ?? 1);
