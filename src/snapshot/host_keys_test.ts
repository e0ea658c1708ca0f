import assert from "node:assert/strict";
import { fingerprintOf, judgeHostKey, knownAlgorithms } from "./host_keys.ts";

const KEY = new TextEncoder().encode("the key of the host");
const OTHER = new TextEncoder().encode("the key of another");
const HOST = { host: "backup.example", port: 22 };

function line(hosts: string, key: Uint8Array = KEY, type = "ssh-ed25519"): string {
  return `${hosts} ${type} ${key.toBase64()} a comment\n`;
}

function judge(knownHosts: string, at = HOST, fingerprint = ""): string | undefined {
  return judgeHostKey(KEY, at, { knownHosts, fingerprint });
}

Deno.test("a host is looked for as ssh does: by name, by port, by pattern, not by an excluding one", () => {
  assert.equal(judge(line("backup.example")), undefined);
  assert.equal(judge(line("other.example,BACKUP.example")), undefined);
  assert.equal(judge(line("*.example")), undefined);
  assert.equal(judge(line("backup?example")), undefined);
  assert.equal(judge(line("*.example,!backup.*")), "unknown");
  assert.equal(judge(line("backup.example"), { ...HOST, port: 2222 }), "unknown");
  assert.equal(judge(line("[backup.example]:2222"), { ...HOST, port: 2222 }), undefined);
  assert.equal(judge("# backup.example ssh-ed25519 AAAA\n\nbackup.example\n"), "unknown");
});

Deno.test("a line that ssh-keygen -H has hashed is recognised", () => {
  const hashed = line("|1|xFenj7GcU2TmOHwgN5veIzpbQ/w=|CE9In/LvPL4tMrZmDDEqOVG7dfY=");
  assert.equal(judge(hashed), undefined);
  assert.equal(judge(hashed, { ...HOST, host: "elsewhere.example" }), "unknown");
});

Deno.test("another key of a known host is a change, a revoked one stays revoked, an authority is passed over", () => {
  assert.equal(judge(line("backup.example", OTHER)), "changed");
  assert.equal(judge(line("backup.example", OTHER) + line("backup.example")), undefined);
  assert.equal(judge(`@revoked ${line("*")}${line("backup.example")}`), "revoked");
  assert.equal(judge(`@cert-authority ${line("backup.example", OTHER)}`), "unknown");
});

Deno.test("a fingerprint counts without a file, and beside one that does not know the host", () => {
  assert.equal(judge("", HOST, fingerprintOf(KEY)), undefined);
  assert.equal(judge("", HOST, `${fingerprintOf(KEY)}=`), undefined);
  assert.equal(judge("", HOST, fingerprintOf(OTHER)), "changed");
  assert.equal(judge(line("elsewhere", OTHER), HOST, fingerprintOf(KEY)), undefined);
  assert.equal(judge(""), "unknown");
});

Deno.test("the server is asked for a kind of key that is known", () => {
  const text = line("backup.example", KEY, "ssh-rsa") + line("backup.example", OTHER, "ecdsa-sha2-nistp256");
  assert.deepEqual(knownAlgorithms(text, HOST.host, HOST.port), [
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
  ]);
});
