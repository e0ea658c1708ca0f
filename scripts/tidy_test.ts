import assert from "node:assert/strict";
import { readSource } from "./source_text.ts";
import {
  configFindings,
  FILE_RULES,
  lockFindings,
  MAX_FILE_LINES,
  MAX_FUNCTION_LINES,
  treeFindings,
} from "./tidy_rules.ts";

/** What the rules say about a file of this content, as `line: first words`. */
function findings(text: string, path = "src/apply/fold.ts"): string[] {
  const source = readSource(path, text);
  return FILE_RULES.flatMap((rule) => rule(source)).map(({ line, message }) => `${line}: ${message}`);
}

function assertFound(expected: RegExp, text: string, path?: string): void {
  const found = findings(text, path);
  assert.equal(found.length, 1, found.join("\n"));
  assert.match(found[0] ?? "", expected);
}

function assertClean(text: string, path?: string): void {
  assert.deepEqual(findings(text, path), []);
}

Deno.test("a function that is too long is found, in a test later than in the program", () => {
  const text = `function long(): void {\n${"  call();\n".repeat(MAX_FUNCTION_LINES)}}\n`;
  assertFound(/^1: long has 72 lines/, text);
  assertClean(text, "tests/e2e/crash_test.ts");
});

Deno.test("a file that is too long is found", () => {
  assertFound(/has 401 lines/, "call();\n".repeat(MAX_FILE_LINES + 1));
  assertClean("call();\n".repeat(MAX_FILE_LINES + 1), "tests/e2e/crash_test.ts");
});

Deno.test("file names are in snake_case", () => {
  assertFound(/snake_case/, "", "src/apply/rowVersion.ts");
  assertClean("", "src/apply/row_version_test.ts");
});

Deno.test("only programs end the process or listen to signals", () => {
  for (
    const code of [
      "Deno.exit(1);",
      "Deno.exitCode = 1;",
      'Deno.addSignalListener("SIGINT", f);',
      "process.exit();",
    ]
  ) {
    assertFound(/^1: ends the process/, code);
    assertClean(code, "main.ts");
    assertClean(code, "scripts/demo.ts");
  }
  assertClean('const text = "Deno.exit(1)"; // Deno.exit(1)');
});

Deno.test("only commands and the log write to the console", () => {
  assertFound(/^1: writes to the console/, "console.log(1);");
  assertClean("console.log(1);", "src/cli/status.ts");
  assertClean("console.log(1);", "tests/bench/bench.ts");
});

Deno.test("open marks in comments are found, in strings they are text", () => {
  assertFound(/^2: FIXME/, "a();\n// FIXME later\n");
  assertClean('const marks = "TODO";');
});

Deno.test("a focused test is found", () => {
  assertFound(/remove `only`/, 'Deno.test.only("x", f);', "src/apply/fold_test.ts");
  assertFound(/remove `only`/, "Deno.test({ only: true });", "src/apply/fold_test.ts");
});

Deno.test("a skipped test needs its reason", () => {
  const path = "tests/e2e/crash_test.ts";
  assertFound(/skips a test/, "Deno.test({ ignore: true });", path);
  assertClean("// Skipped: there is no setpriv on macOS.\nDeno.test({ ignore: true });", path);
});

Deno.test("a leak check that is off needs its reason", () => {
  assertFound(/leak check off/, "Deno.test({ sanitizeOps: false });", "src/apply/fold_test.ts");
  assertClean("Deno.test({ sanitizeOps: false }); // A worker ends later.", "src/apply/fold_test.ts");
});

Deno.test("an error is not dropped without a word", () => {
  assertFound(/^1: drops an error/, "try { a(); } catch {}");
  assertFound(/^1: drops an error/, "try { a(); } catch (error) {}");
  assertFound(/^1: drops an error/, "try { a(); } catch { return false; }");
  assertClean("try { a(); } catch { return false; /* It was gone already. */ }");
  assertClean("try { a(); } catch (error) { report(error); }");
});

Deno.test("a file that the scanner cannot follow does not pass", () => {
  assertFound(/brackets do not match/, "f(]");
});

Deno.test("the top level and the names of folders are checked", () => {
  assert.deepEqual(treeFindings(["main.ts", "src/apply/a.ts", ".ci/run", "coverage/x"], ["coverage"]), []);
  assert.deepEqual(
    treeFindings(["notes.md", "src/utils/a.ts", "src/utils/b.ts"], []).map(({ path }) => path),
    ["notes.md", "src/utils"],
  );
});

Deno.test("the lock names no address", () => {
  assert.deepEqual(lockFindings('{\n  "npm": { "a@1.0.0": { "integrity": "sha512-/x" } }\n}'), []);
  assert.equal(lockFindings('{\n"tarball": "http://proxy.local/a.tgz"\n}')[0]?.line, 2);
});

Deno.test("deno.json keeps leak checks on and the lock frozen", () => {
  const good = { test: { sanitizeOps: true, sanitizeResources: true }, lock: { frozen: true } };
  assert.deepEqual(configFindings(JSON.stringify(good)), []);
  assert.equal(configFindings("{}").length, 3);
});
