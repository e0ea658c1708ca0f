import { closingOf, functionsOf, lineAt, type SourceText, unbalancedLine } from "./source_text.ts";

/** Something to mend: where it is and what to do. */
export interface Finding {
  readonly path: string;
  readonly line?: number;
  readonly message: string;
}

export const MAX_FUNCTION_LINES = 70;
export const MAX_FILE_LINES = 400;
/** A test reads from top to bottom, so it may be longer. */
export const MAX_TEST_FUNCTION_LINES = 100;
export const MAX_TEST_FILE_LINES = 800;

const TOP_LEVEL = ["deno.json", "deno.lock", "main.ts", "src", "tests", "scripts", "README.md"];
const VAGUE_FOLDERS = ["utils", "util", "helpers", "helper", "common", "misc", "shared"];

/** May end the process or listen to signals: programs of their own, each in one place. */
const PROGRAMS = [
  /^main\.ts$/,
  /^scripts\//,
  /^tests\/support\/(versatile_)?application\.ts$/,
  /^tests\/bench\//,
  /^tests\/sim\/sim\.ts$/,
];
/** May write to the console: what a command prints, and where the log goes. */
const PRINTERS = [/^src\/observe\//, /^src\/cli\//];

export type FileRule = (file: SourceText) => Finding[];

/** Rules about the text of a TypeScript file. */
export const FILE_RULES: readonly FileRule[] = [
  readable,
  fileLength,
  functionLength,
  fileName,
  processEnd,
  consoleUse,
  openMarks,
  focusedTests,
  ignoredTests,
  sanitizersOff,
  silentCatch,
];

function isTest(path: string): boolean {
  return path.startsWith("tests/") || path.endsWith("_test.ts");
}

/** The rules below see code only where the scanner knows where it is; a file that it misreads must not pass unseen. */
function readable(file: SourceText): Finding[] {
  const line = unbalancedLine(file);
  if (line === undefined) return [];
  return [{ path: file.path, line, message: "brackets do not match, as scripts/source_text.ts reads them" }];
}

function fileLength({ path, text }: SourceText): Finding[] {
  const lines = text.split("\n").length - 1;
  const limit = isTest(path) ? MAX_TEST_FILE_LINES : MAX_FILE_LINES;
  if (lines <= limit) return [];
  return [{
    path,
    message: `has ${lines} lines, ${limit} is the limit: move one of its concerns to its own file`,
  }];
}

function functionLength(file: SourceText): Finding[] {
  const limit = isTest(file.path) ? MAX_TEST_FUNCTION_LINES : MAX_FUNCTION_LINES;
  return functionsOf(file).filter(({ lines }) => lines > limit).map(({ name, firstLine, lines }) => ({
    path: file.path,
    line: firstLine,
    message: `${name} has ${lines} lines, ${limit} is the limit: give a part of it a name`,
  }));
}

function fileName({ path }: SourceText): Finding[] {
  const name = path.split("/").at(-1) ?? "";
  if (/^[a-z0-9]+(_[a-z0-9]+)*\.ts$/.test(name)) return [];
  return [{ path, message: "is not in snake_case: rename it" }];
}

function processEnd(file: SourceText): Finding[] {
  if (PROGRAMS.some((program) => program.test(file.path))) return [];
  return inCode(
    file,
    /\bDeno\.(?:exit\s*\(|exitCode\b|addSignalListener\b)|\bprocess\.(?:exit|on)\s*\(/g,
    "ends the process or listens to signals: only main.ts does, return or throw instead",
  );
}

function consoleUse(file: SourceText): Finding[] {
  if (!file.path.startsWith("src/") || isTest(file.path)) return [];
  if (PRINTERS.some((printer) => printer.test(file.path))) return [];
  return inCode(file, /\bconsole\s*\./g, "writes to the console: use the logger that is handed in");
}

function openMarks({ path, comments }: SourceText): Finding[] {
  return [...comments.matchAll(/\b(?:TODO|FIXME|XXX)\b/g)].map(({ 0: mark, index }) => ({
    path,
    line: lineAt(comments, index),
    message: `${mark}: do it, or write down why not`,
  }));
}

function focusedTests(file: SourceText): Finding[] {
  return inCode(
    file,
    /\.only\s*\(|\bonly\s*:\s*true\b/g,
    "keeps all other tests from running: remove `only`",
  );
}

function ignoredTests(file: SourceText): Finding[] {
  if (!isTest(file.path)) return [];
  return inCode(
    file,
    /\.ignore\s*\(|\bignore\s*:/g,
    "skips a test: say why in a comment on or above this line that begins with `Skipped:`",
  ).filter(({ line }) => !nearComment(file, line ?? 0, /Skipped:/));
}

function sanitizersOff(file: SourceText): Finding[] {
  return inCode(
    file,
    /\bsanitize(?:Ops|Resources|Exit)\s*:\s*false\b/g,
    "switches a leak check off: mend the leak, or say why in a comment on or above this line",
  ).filter(({ line }) => !nearComment(file, line ?? 0, /\w/));
}

/** An error that is dropped, by an empty block or without a name, needs its reason in words. */
function silentCatch(file: SourceText): Finding[] {
  const findings: Finding[] = [];
  for (const match of file.code.matchAll(/\bcatch\s*(\([^)]*\)\s*)?\{/g)) {
    const open = match.index + match[0].length - 1;
    const close = closingOf(file.code, open);
    const dropped = match[1] === undefined || file.code.slice(open + 1, close).trim() === "";
    const line = lineAt(file.code, match.index);
    const explained = file.comments.slice(open, close).trim() !== "" || nearComment(file, line, /\w/);
    if (dropped && !explained) {
      findings.push({
        path: file.path,
        line,
        message: "drops an error: handle it, or say in a comment why it may go",
      });
    }
  }
  return findings;
}

function inCode(file: SourceText, pattern: RegExp, message: string): Finding[] {
  return [...file.code.matchAll(pattern)]
    .map(({ index }) => ({ path: file.path, line: lineAt(file.code, index), message }));
}

/** Whether a comment on the line, or on the one above it, matches. */
function nearComment({ comments }: SourceText, line: number, pattern: RegExp): boolean {
  return comments.split("\n").slice(Math.max(0, line - 2), line).some((text) => pattern.test(text));
}

/** Rules about names: `paths` are all files, with slashes; names in `ignored` are products of running, not sources. */
export function treeFindings(paths: readonly string[], ignored: readonly string[]): Finding[] {
  const findings: Finding[] = [];
  for (const name of new Set(paths.map((path) => path.split("/")[0] ?? ""))) {
    if (name.startsWith(".") || TOP_LEVEL.includes(name) || ignored.includes(name)) continue;
    findings.push({
      path: name,
      message: `does not belong to the top level, which holds ${TOP_LEVEL.join(", ")}`,
    });
  }
  for (const folder of new Set(paths.flatMap(foldersOf))) {
    if (!VAGUE_FOLDERS.includes(folder.split("/").at(-1) ?? "")) continue;
    findings.push({ path: folder, message: "says nothing about its content: name it after what is in it" });
  }
  return findings;
}

function foldersOf(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** The lock must work on every machine: packages by name and checksum, no address of this one or of its proxy. */
export function lockFindings(text: string): Finding[] {
  return text.split("\n").flatMap((content, index) => {
    if (!/https?:\/\/|\bfile:|localhost|"\/|[A-Z]:\\/.test(content)) return [];
    const message = `names an address, "${content.trim()}": write the lock anew against the public registry`;
    return [{ path: "deno.lock", line: index + 1, message }];
  });
}

/** Deno has the leak checks off unless deno.json says otherwise. */
export function configFindings(text: string): Finding[] {
  const config = JSON.parse(text) as { test?: Record<string, unknown>; lock?: { frozen?: unknown } };
  const missing = ["sanitizeOps", "sanitizeResources"].filter((name) => config.test?.[name] !== true);
  const findings = missing.map((name) => ({
    path: "deno.json",
    message: `must set "test": { "${name}": true }`,
  }));
  if (config.lock?.frozen !== true) {
    findings.push({ path: "deno.json", message: `must set "lock": { "frozen": true }` });
  }
  return findings;
}
