// Bundles the extension into dist/extension.js; the editor itself is all that is left outside.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import * as esbuild from "esbuild";

const production = process.argv.includes("--production");
const watch = process.argv.includes("--watch");

const context = await esbuild.context({
  entryPoints: ["src/extension.ts"],
  outfile: "dist/extension.js",
  bundle: true,
  platform: "node",
  format: "cjs",
  // What the oldest supported editor runs on.
  target: "node20",
  external: ["vscode"],
  mainFields: ["module", "main"],
  minify: production,
  sourcemap: !production,
  legalComments: "none",
  metafile: true,
  logLevel: "info",
});
if (watch) {
  await context.watch();
} else {
  const { metafile } = await context.rebuild();
  writeFileSync("dist/THIRD-PARTY-NOTICES.txt", notices(Object.keys(metafile.inputs)));
  await context.dispose();
}

/** The licences of all packages of which something is in the bundle. */
function notices(inputs) {
  const packages = inputs.map((file) => /^.*node_modules\/(@[^/]+\/[^/]+|[^/]+)/.exec(file)?.[0]);
  const texts = [...new Set(packages)].filter(Boolean).sort().map((folder) => {
    const { name, version } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    const file = existsSync(folder) && readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
    if (!file) {
      throw new Error(`${name} has no licence file`);
    }
    return `${name} ${version}\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}\n`;
  });
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}
