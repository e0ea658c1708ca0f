import assert from "node:assert/strict";
import { locateKeys, parseToml } from "./toml.ts";

Deno.test("integers beyond 2^53 are exact", () => {
  assert.equal(parseToml("node_id = 9223372036854775807").table["node_id"], 9223372036854775807n);
});

Deno.test("a syntax error names line and column and never quotes the text", () => {
  const text = "a = 1\n[nats]\nuser_password = hunter22\n";
  assert.throws(() => parseToml(text), (error: Error & { line: number }) => {
    assert.equal(error.line, 3);
    assert.match(error.message, /not valid TOML: invalid value \(column 17\)/);
    assert.doesNotMatch(error.message, /hunter22/);
    return true;
  });
});

Deno.test("a byte order mark and Windows line ends are taken", () => {
  const { table, lines } = parseToml("\uFEFFa = 1\r\n[b]\r\nc = 2\r\n");
  assert.equal(table["a"], 1n);
  assert.equal(lines.get("b.c"), 3);
});

Deno.test("each key is found at its line, whatever stands in values and comments", () => {
  const lines = locateKeys(`# first = 1
a = "x = 1 # not a comment"
b = [ # list = 2
  "[no.table]",
  'c = 3',
]
text = """
[inside]
d = 4
"""
[ one . "two three" ] # [four]
e.f = { g = 1, h = "}" }
raw = '''
i = 5'''
[[many]]
j = 6
`);
  const expected = {
    a: 2,
    b: 3,
    text: 7,
    "one.two three": 11,
    "one.two three.e.f": 12,
    "one.two three.raw": 13,
    many: 15,
    "many.j": 16,
  };
  assert.deepEqual(Object.fromEntries(lines), expected);
});
