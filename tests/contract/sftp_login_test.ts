import assert from "node:assert/strict";
import type { SnapshotStore } from "../../src/snapshot/store.ts";
import { makeTempDir } from "../support/temp.ts";
import { type SftpLab, sshKeygen, startSftpLab } from "./sftp_store_lab.ts";
import { openFrom } from "./snapshot_store_lab.ts";

const never = new AbortController().signal;
const OTHER_FINGERPRINT = `SHA256:${"A".repeat(43)}`;

type Settings = Readonly<Record<"url" | "key_file" | "key_passphrase" | "known_hosts" | "host_key", string>>;

function open(lab: SftpLab, settings: Partial<Settings>): Promise<SnapshotStore> {
  const lines = Object.entries({ url: lab.url("login"), ...settings }).map(([key, value]) =>
    `${key} = "${value}"`
  );
  return openFrom(lab, `[snapshot]\nstore = "sftp"\n[snapshot.sftp]\n${lines.join("\n")}`);
}

async function assertLetIn(lab: SftpLab, settings: Partial<Settings>): Promise<void> {
  await using store = await open(lab, settings);
  assert.deepEqual(await store.list(never), []);
}

async function assertRefused(
  lab: SftpLab,
  settings: Partial<Settings>,
  code: string,
  text: string,
): Promise<void> {
  await using store = await open(lab, settings);
  const failure = await store.list(never).then(() => assert.fail("it was let in"), (error) => error);
  assert.equal(failure.code, code, failure.stack);
  assert.ok(failure.message.includes(text), failure.message);
  assert.equal(failure.transient, false);
  assert.ok(failure.hint.includes("[snapshot.sftp]") || failure.hint.includes("snapshot.sftp.url"));
}

Deno.test("SFTP: a private key lets in without a password, an encrypted one with its passphrase", async () => {
  await using lab = await startSftpLab();
  const trusted = { host_key: lab.fingerprint, url: lab.url("login", "") };
  await assertLetIn(lab, { ...trusted, key_file: lab.keyFile });
  const encrypted = { ...trusted, key_file: lab.encryptedKeyFile };
  await assertLetIn(lab, { ...encrypted, key_passphrase: lab.passphrase });
  await assertRefused(lab, encrypted, "BAD_KEY", lab.encryptedKeyFile);
  await assertRefused(lab, { ...encrypted, key_passphrase: "not this one" }, "BAD_KEY", lab.encryptedKeyFile);
  await using temp = await makeTempDir();
  const stranger = temp.file("key");
  await sshKeygen("-q", "-t", "rsa", "-N", "", "-f", stranger);
  await assertRefused(lab, { ...trusted, key_file: stranger }, "LOGIN_REFUSED", "does not accept the user");
});

Deno.test("SFTP: a host is refused unless its key is the configured one", async () => {
  await using lab = await startSftpLab();
  await using temp = await makeTempDir();
  const known = temp.file("known_hosts");
  const other = lab.knownHost.replace(/.{20}$/, "A".repeat(20));
  await assertRefused(lab, {}, "HOST_KEY", `not known; it shows ${lab.fingerprint}`);
  await assertRefused(lab, { host_key: OTHER_FINGERPRINT }, "HOST_KEY", "another key");
  await Deno.writeTextFile(known, `# a comment\nelsewhere ssh-ed25519 AAAA\n`);
  await assertRefused(lab, { known_hosts: known }, "HOST_KEY", "not known");
  await Deno.writeTextFile(known, `${other}\n`);
  await assertRefused(lab, { known_hosts: known }, "HOST_KEY", "another key");
  await Deno.writeTextFile(known, `@revoked ${lab.knownHost}\n`);
  await assertRefused(lab, { known_hosts: known, host_key: lab.fingerprint }, "HOST_KEY", "revoked");
  await Deno.writeTextFile(known, `${lab.knownHost}\n`);
  await assertLetIn(lab, { known_hosts: known });
  await sshKeygen("-H", "-f", known);
  assert.match(await Deno.readTextFile(known), /^\|1\|/);
  await assertLetIn(lab, { known_hosts: known });
});
