import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { DatabaseError } from "../lib/errors.ts";
import { RawText, type SqlValue } from "../wire/event.ts";
import { fromSql, toSql } from "./sql_value.ts";

const MAX_INT64 = (1n << 63n) - 1n;
const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => new Uint8Array(each));
const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  fc.bigInt({ min: -MAX_INT64 - 1n, max: MAX_INT64 }),
  fc.double({ noNaN: true }),
  fc.constantFrom(0, -0, 1e21, 5e-324, Infinity, -Infinity, 2 ** 63),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom("'", "''", "it's", "a\0b", "\0", "' || char(0) || '", "NULL", "x'00'"),
  bytes,
  bytes.map(textOf),
);

/** As a database has it: only what is no UTF-8 is no string. */
function textOf(each: Uint8Array): SqlValue {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(each);
  } catch {
    return new RawText(each); // That was the question.
  }
}

Deno.test("a value comes back from its literal, and SQLite reads the literal alike", () => {
  using db = new DatabaseSync(":memory:");
  fc.assert(fc.property(value, (each) => {
    const literal = toSql(each);
    assert.deepEqual(fromSql(literal), each);
    const row = db.prepare(`SELECT typeof(v), v = ?, hex(v) FROM (SELECT ${literal} AS v)`).get(
      bindable(each),
    )!;
    const [type, isEqual, hex] = Object.values(row);
    assert.equal(type, typeOf(each));
    if (each instanceof RawText) assert.equal(hex, each.bytes.toHex().toUpperCase());
    else assert.equal(isEqual, each === null ? null : 1);
  }));
});

function bindable(each: SqlValue): null | bigint | number | string | Uint8Array {
  return each instanceof RawText ? each.bytes : each;
}

function typeOf(each: SqlValue): string {
  if (each === null) return "null";
  if (typeof each === "bigint") return "integer";
  if (typeof each === "number") return "real";
  return each instanceof Uint8Array ? "blob" : "text";
}

Deno.test("what is not a literal is refused, whatever it would evaluate to", () => {
  for (
    const text of [
      "",
      "'",
      "'a'b'",
      "1 + 1",
      "x'0'",
      "x'zz'",
      "abs(1)",
      "NULL; DROP TABLE t",
      "CAST(x'0' AS TEXT)",
    ]
  ) {
    assert.throws(() => fromSql(text), DatabaseError, text);
  }
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
    try {
      assert.deepEqual(fromSql(toSql(fromSql(text))), fromSql(text));
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
    }
  }));
});
