import assert from "node:assert/strict";
import { answerChallenge, parseChallenge } from "./webdav_login.ts";

// The examples of RFC 7616, section 3.9.1.
const HEADER = (algorithm: string): string =>
  `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=${algorithm}, ` +
  `nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`;
const MUFASA = { login: "Mufasa", secret: "Circle of Life" };
const REQUEST = {
  method: "GET",
  target: "/dir/index.html",
  count: 1,
  clientNonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
};

function answer(header: string): string {
  const challenge = parseChallenge(header);
  assert.ok(challenge);
  return answerChallenge(challenge, MUFASA, REQUEST);
}

Deno.test("a digest is answered as in the examples of RFC 7616", () => {
  assert.match(answer(HEADER("MD5")), /response="8ca523f5e9506fed4657c9700eebdbec"/);
  const sha = answer(HEADER("SHA-256"));
  assert.match(sha, /response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"/);
  assert.match(sha, /qop=auth, nc=00000001, .*algorithm=SHA-256, opaque="FQhe/);
});

Deno.test("of several challenges the strongest that is known is answered", () => {
  const both = `Basic realm="x", ${HEADER("MD5")}, ${HEADER("SHA-256")}`;
  assert.match(answer(both), /^Digest .*algorithm=SHA-256/);
  assert.match(answer(`${HEADER("SHA-512-256")}, Basic realm="x"`), /^Basic /);
  assert.equal(parseChallenge("Negotiate"), undefined);
});

Deno.test("basic holds login and secret in UTF-8", () => {
  const header = answerChallenge({ scheme: "basic" }, { login: "Ünal", secret: "pä:ss" }, REQUEST);
  assert.equal(header, `Basic ${new TextEncoder().encode("Ünal:pä:ss").toBase64()}`);
});
