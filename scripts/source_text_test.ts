import assert from "node:assert/strict";
import { functionsOf, readSource, unbalancedLine } from "./source_text.ts";

function codeOf(text: string): string {
  return readSource("x.ts", text).code.replaceAll(/ +/g, " ").trim();
}

Deno.test("strings, comments and regular expressions are not code", () => {
  assert.equal(codeOf(`a("}{", '\\'}'); // }`), `a(" ", ' ');`);
  assert.equal(codeOf("a /* } */ b"), "a b");
  assert.equal(codeOf("x = /[/}]\\/{/.test(y) / 2 / z;"), "x = .test(y) / 2 / z;");
  assert.equal(codeOf("const url = 'http://x'; f()"), "const url = ' '; f()");
});

Deno.test("what a template computes is code, its text is not", () => {
  assert.equal(codeOf("`{ ${f({ a: `} ${g()} {` })} }` + h()"), "f({ a: g() }) + h()");
});

Deno.test("comments are kept apart", () => {
  assert.match(readSource("x.ts", `"// no" // yes`).comments, /^ +\/\/ yes$/);
});

Deno.test("functions of all kinds are found with their lengths", () => {
  const text = `
export async function* first<T extends () => void>(
  a: { b: string } = { b: "{" },
): Promise<{ c: number } | { d: string }> {
  if (a) {
    call(a);
  }
}
class X {
  static async #second(): Promise<void> {
    for (const x of y) { x(); }
  }
  get third(): { a: 1 } {
    return this;
  }
  [Symbol.dispose](): void {
  }
}
const fourth = (a: number): number => {
  return a;
};
interface I { method(a: string): { b: string }; }
function isX(a: unknown): a is { b: string } {
  return true;
}
`;
  const found = functionsOf(readSource("x.ts", text)).map((
    { name, firstLine, lines },
  ) => [name, firstLine, lines]);
  assert.deepEqual(found, [
    ["first", 2, 7],
    ["#second", 10, 3],
    ["third", 13, 3],
    ["[Symbol.dispose]", 16, 2],
    ["(arrow function)", 19, 3],
    ["isX", 23, 3],
  ]);
});

Deno.test("brackets that do not match are noticed", () => {
  assert.equal(unbalancedLine(readSource("x.ts", "f(a[1], { b })\n")), undefined);
  assert.equal(unbalancedLine(readSource("x.ts", "f(\n}\n")), 2);
  assert.equal(unbalancedLine(readSource("x.ts", "f(\n\n")), 3);
});
