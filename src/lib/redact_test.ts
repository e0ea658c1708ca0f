import assert from "node:assert/strict";
import { redactor } from "./redact.ts";

Deno.test("redactor blanks out every occurrence of a secret", () => {
  assert.equal(redactor(["hunter22"])("a hunter22 b=hunter22"), "a *** b=***");
});

Deno.test("redactor knows a secret in the form that JSON gives it", () => {
  const secret = 'pass"word\\';
  assert.equal(redactor([secret])(JSON.stringify({ secret })), '{"secret":"***"}');
});

Deno.test("redactor blanks out a longer secret before one that is a part of it", () => {
  assert.equal(redactor(["abcd", "abcdef"])("abcdef"), "***");
});

Deno.test("redactor blanks out the login of a URL that it was not told of", () => {
  assert.equal(
    redactor()("nats://user:pw@host:4222/x and tls://token@host"),
    "nats://***@host:4222/x and tls://***@host",
  );
  assert.equal(redactor()("nats://user:p@ss@host"), "nats://***@host");
  assert.equal(redactor()("nats://host:4222 mail@host"), "nats://host:4222 mail@host");
});
