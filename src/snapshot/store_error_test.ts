import assert from "node:assert/strict";
import { judgeS3 } from "./s3_errors.ts";
import { type Judge, toStoreError } from "./store_error.ts";

function named(name: string, status = 0, message = "words of the library"): Error {
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status } });
}

function verdict(error: unknown, judge: Judge = () => undefined): [string, boolean] {
  const { code, transient, message } = toStoreError("Cannot list it", error, judge);
  assert.match(message, /^Cannot list it: [^\n]+$/);
  return [code, transient];
}

Deno.test("what the system and fetch say about connections is told apart", () => {
  const cause = (message: string): Error => new TypeError("fetch failed", { cause: new Error(message) });
  assert.deepEqual(verdict(Object.assign(new Error(""), { code: "ECONNREFUSED" })), ["UNREACHABLE", true]);
  assert.deepEqual(verdict(cause("client error (Connect): dns error: failed to lookup")), [
    "UNREACHABLE",
    true,
  ]);
  assert.deepEqual(verdict(cause("tcp connect error: Connection refused (os error 111)")), [
    "UNREACHABLE",
    true,
  ]);
  assert.deepEqual(verdict(cause("error reading a body from connection")), ["CONNECTION_LOST", true]);
  assert.deepEqual(verdict(cause("invalid peer certificate: UnknownIssuer")), ["CERTIFICATE", false]);
  assert.deepEqual(verdict(new Error("something else")), ["STORE_FAILURE", true]);
  assert.deepEqual(verdict("not even an error"), ["STORE_FAILURE", true]);
});

Deno.test("errors of S3 are told apart by name, else by status", () => {
  const cases: [Error, string, boolean][] = [
    [named("InvalidAccessKeyId", 403), "LOGIN_REFUSED", false],
    [named("SignatureDoesNotMatch", 403), "LOGIN_REFUSED", false],
    [named("AccessDenied", 403), "FORBIDDEN", false],
    [named("403", 403), "FORBIDDEN", false],
    [named("NoSuchBucket", 404), "NO_BUCKET", false],
    [named("PermanentRedirect", 301), "WRONG_REGION", false],
    [named("XMinioStorageFull", 507), "STORE_FULL", true],
    [named("InternalError", 500, "cause(no space left on device)"), "STORE_FULL", true],
    [named("SlowDown", 503), "STORE_UNAVAILABLE", true],
    [named("InvalidRequest", 400), "STORE_REFUSED", false],
  ];
  for (const [error, code, transient] of cases) assert.deepEqual(verdict(error, judgeS3), [code, transient]);
});
