import assert from "node:assert/strict";
import { redactor, scrubber, scrubSettings } from "./redact.ts";

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

Deno.test("scrubber blanks out what looks like a secret, though nobody has told it", () => {
  const seed = `SU${"A2".repeat(28)}`;
  const texts: Record<string, string> = {
    [`seed ${seed} of a user`]: "seed *** of a user",
    "token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln end": "token *** end",
    "id AKIAIOSFODNN7EXAMPLE": "id ***",
    "Authorization: Basic dXNlcjpwYXNz": 'Authorization: "***" ***',
    "https://h/x?dir=/a&login=bob&secret=s3cret#f": 'https://h/x?dir=/a&login=***&secret="***"',
    "GET /?X-Amz-Signature=abcdef&x=1": "GET /?X-Amz-Signature=***&x=1",
    'user_password = "it\\"s" # old one': 'user_password = "***" # old one',
    '{"password":"x","port":4222}': '{"password":"***","port":4222}',
    "HARMONYLITE_NATS_USER_PASSWORD=hunter2": 'HARMONYLITE_NATS_USER_PASSWORD="***"',
    "pass: s3cret, user: a": 'pass: "***", user: a',
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\nbnNz\n-----END OPENSSH PRIVATE KEY-----\nrest": "***\nrest",
    "-----BEGIN USER NKEY SEED-----\nSUxx\n------END USER NKEY SEED------\nrest": "***\nrest",
    'seed_file = "/etc/x.nk"': 'seed_file = "/etc/x.nk"',
    "auth_required: true, bypass 3": "auth_required: true, bypass 3",
  };
  for (const [text, expected] of Object.entries(texts)) assert.equal(scrubber()(text), expected);
});

Deno.test("scrubSettings blanks out secrets of a file that is no TOML any more, and leaves what is known to be none", () => {
  const broken = [
    "node_id = 7",
    "user_password = two words, and no quotes",
    '#user_password = "the old one"',
    'nats.user_pssvrd = "mistyped"',
    'urls = ["nats://u:pw@host:4222"',
    'session_token = """',
    "line one",
    'line two""" # end',
    "secret=",
    "[[[",
  ].join("\n");
  assert.equal(
    scrubSettings(broken, (name) => ["node_id", "urls", "user_password"].includes(name)),
    [
      "node_id = 7",
      'user_password = "***"',
      '#user_password = "***"',
      'nats.user_pssvrd = "***"',
      'urls = ["nats://***@host:4222"',
      'session_token = "***"',
      'secret="***"',
      "[[[",
    ].join("\n"),
  );
});
