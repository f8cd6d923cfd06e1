// Formats the plugin's Lua with StyLua, or with --check says which files are not formatted.
//
// StyLua's package for npm is a library without a command, so its settings are read here: those of
// .stylua.toml, which editors and StyLua itself read too.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as stylua from "@johnnymorganz/stylua";

const plugin = dirname(dirname(fileURLToPath(import.meta.url)));

const ENUMS = {
  syntax: stylua.LuaVersion,
  indent_type: stylua.IndentType,
  quote_style: stylua.QuoteStyle,
  call_parentheses: stylua.CallParenType,
  collapse_simple_statement: stylua.CollapseSimpleStatement,
  line_endings: stylua.LineEndings,
};

function readConfig() {
  const config = stylua.Config.new();
  for (const line of readFileSync(join(plugin, ".stylua.toml"), "utf8").split("\n")) {
    if (line.trim() === "") continue;
    const [, key, text] = /^(\w+) = (.+)$/.exec(line) ?? [];
    const value = key in ENUMS ? ENUMS[key][JSON.parse(text)] : JSON.parse(text);
    if (value === undefined || !(key in config)) throw new Error(`.stylua.toml: ${line}`);
    config[key] = value;
  }
  return config;
}

function luaFiles() {
  return readdirSync(plugin, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".lua"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes("node_modules"))
    .sort();
}

const check = process.argv.includes("--check");
let different = 0;
for (const path of luaFiles()) {
  const before = readFileSync(path, "utf8");
  const config = readConfig(); // formatCode takes it for good
  const after = stylua.formatCode(before, config, undefined, stylua.OutputVerification.Full);
  if (after === before) continue;
  different += 1;
  console.log(`${check ? "not formatted" : "formatted"}: ${relative(plugin, path)}`);
  if (!check) writeFileSync(path, after);
}
process.exitCode = check && different > 0 ? 1 : 0;
