// Prints what TypeScript finds in one file of a project, as JSON.
// node fix_tsc.js FOLDER_OF_TYPESCRIPT PROJECT FILE
const path = require("path")
const [folder, project, file] = process.argv.slice(2)
const ts = require(path.join(folder, "lib", "typescript.js"))
const settings = ts.readConfigFile(path.join(project, "tsconfig.json"), ts.sys.readFile).config
const { fileNames, options } = ts.parseJsonConfigFileContent(settings, ts.sys, project)
// Declarations of globals count for every file; other files only where this one imports them.
const globals = fileNames.filter((name) => name.endsWith(".d.ts"))
const own = path.join(project, file)
const program = ts.createProgram([...new Set([...globals, own])], options)
const source = program.getSourceFile(own)
const found = [
  ...program.getSyntacticDiagnostics(source),
  ...program.getSemanticDiagnostics(source),
]
console.log(
  JSON.stringify(
    found.map((one) => ({
      code: one.code,
      message: ts.flattenDiagnosticMessageText(one.messageText, "\n"),
      start: one.start,
      length: one.length,
    })),
  ),
)
