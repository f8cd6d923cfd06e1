// Bundles each unit/*.test.ts and runs them all by node's own test runner; no editor is needed.
import { spawnSync } from "node:child_process";
import { globSync, rmSync } from "node:fs";
import * as esbuild from "esbuild";

const out = "dist/unit";
rmSync(out, { recursive: true, force: true });
await esbuild.build({
  entryPoints: globSync("unit/*.test.ts"),
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node22",
  // A test that needs the editor would be a test for test/: importing it fails here.
  external: ["vscode"],
  sourcemap: "inline",
});
const flags = ["--enable-source-maps", "--test", "--test-timeout=30000"];
const run = spawnSync(process.execPath, [...flags, `${out}/*.mjs`], { stdio: "inherit" });
process.exit(run.status ?? 1);
