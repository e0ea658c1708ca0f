import assert from "node:assert/strict";
import { main } from "../../src/cli/cli.ts";
import { makeBundle as packBundle } from "../../src/doctor/bundle.ts";
import { createDatabase } from "../support/database.ts";
import { openPatientLab } from "../support/patient_lab.ts";
import { runProgram } from "../support/process.ts";
import { makeTempDir, type TempDir } from "../support/temp.ts";

/** Nobody can guess them, and none is a part of another. */
const SECRET = {
  natsPassword: "nats-pw-Qx7vLm",
  urlPassword: "url%2Dpw%20Zk3",
  urlToken: "url-token-Hb2nWq",
  peerPassword: "peer-pw-Ty8dRf",
  s3Key: "AKIAZZTESTKEY0000001",
  s3Secret: "s3/secret+Gh5=jKl",
  s3Token: "s3-session-Vc4xBn",
  webdavLogin: "webdav-login-Pu6eSa",
  webdavSecret: "webdav-secret-Mn1oIj",
  sftpPassword: "sftp-pw-Dw9fUy",
  passphrase: 'pass"phrase-Lr0t',
  misspelled: "misspelled-Oa7iEq",
  comment: "commented-Xs5wKz",
  environment: "environment-Jd3gHh",
  seed: `SUA${"ZB3".repeat(18)}A`,
  jwt: "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5In0.eyJqdGkiOiJURVNUIn0.c2lnbmF0dXJl",
  keyLine: "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU",
  bearer: "bearer-Fg8hYt0Pl",
} as const;

function configText(dir: TempDir): string {
  return `
db_path = ${JSON.stringify(dir.file("app.db"))}
node_id = 4711
[nats]
urls = ["nats://who:${SECRET.urlPassword}@127.0.0.1:1", "nats://${SECRET.urlToken}@127.0.0.1:2"]
cluster_peers = ["nats://who:${SECRET.peerPassword}@127.0.0.1:3"]
user_name = "who"
user_password = "${SECRET.natsPassword}"
# user_password: ${SECRET.comment}
connect_retries = 1
[snapshot]
store = "file"
[snapshot.file]
path = ${JSON.stringify(dir.path)}
[snapshot.s3]
access_key = "${SECRET.s3Key}"
secret = "${SECRET.s3Secret}"
session_token = "${SECRET.s3Token}"
[snapshot.webdav]
url = "https://h/d?dir=/x&login=${SECRET.webdavLogin}&secret=${SECRET.webdavSecret}"
[snapshot.sftp]
url = "sftp://who:${SECRET.sftpPassword}@h/x"
key_passphrase = ${JSON.stringify(SECRET.passphrase)}
[logging]
file = ${JSON.stringify(dir.file("node.log"))}
`;
}

/** Everything that a careless line of a log might hold. */
const LOG = [
  `connecting with seed ${SECRET.seed}`,
  "-----BEGIN NATS USER JWT-----",
  SECRET.jwt,
  "------END NATS USER JWT------",
  `token ${SECRET.jwt} was sent`,
  "-----BEGIN OPENSSH PRIVATE KEY-----",
  SECRET.keyLine,
  "-----END OPENSSH PRIVATE KEY-----",
  `Authorization: Bearer ${SECRET.bearer}`,
  `{"message":"Unable to publish","password":"${SECRET.natsPassword}","phrase":${
    JSON.stringify(SECRET.passphrase)
  }}`,
  `GET https://h/d?dir=/x&login=${SECRET.webdavLogin}&secret=${SECRET.webdavSecret} 403`,
  `secret key ${SECRET.s3Secret} of ${SECRET.s3Key}, ${SECRET.s3Token}, ${SECRET.sftpPassword}`,
  "a line that nobody needs to hide",
].join("\n");

/** Name to content. */
async function makeBundle(dir: TempDir, config: string): Promise<Map<string, string>> {
  await Deno.writeTextFile(dir.file("config.toml"), config, { mode: 0o600 });
  const [bundle, output] = [dir.file("diag.tar.gz"), { text: "" }];
  const write = (text: string): void => void (output.text += text);
  await main(["doctor", "--config", dir.file("config.toml"), "--bundle", bundle], {
    stdout: { write },
    stderr: { write },
    signal: new AbortController().signal,
  });
  for (const secret of Object.values(SECRET)) {
    assert.ok(!output.text.includes(secret), `${secret} is printed`);
  }
  assert.equal((await Deno.stat(bundle)).mode! & 0o777, 0o600);
  const names = (await runProgram("tar", ["tzf", bundle])).trim().split("\n");
  const files = names.map(async (name) => [name, await runProgram("tar", ["xzOf", bundle, name])] as const);
  return new Map(await Promise.all(files));
}

/** As written, and with its percent signs decoded. */
function assertNoSecret(files: ReadonlyMap<string, string>): void {
  for (const [name, text] of files) {
    for (const [kind, secret] of Object.entries(SECRET)) {
      for (const form of [secret, decodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]) {
        assert.ok(!text.includes(form), `${kind} is in ${name}:\n${text}`);
      }
    }
  }
}

Deno.test("a bundle holds what helps, and no secret of any kind", async () => {
  await using dir = await makeTempDir();
  await createDatabase(
    dir.file("app.db"),
    "CREATE TABLE visible_table (id INTEGER PRIMARY KEY, a); INSERT INTO visible_table VALUES (1, 'a row of mine');",
  );
  await Deno.writeTextFile(dir.file("node.log"), LOG, { mode: 0o600 });
  Deno.env.set("HARMONYLITE_NATS_USER_PASSWORD", SECRET.environment);
  try {
    const files = await makeBundle(dir, configText(dir));
    assert.deepEqual([...files.keys()].map((name) => name.replace("harmonylite-diag/", "")), [
      "doctor.txt",
      "doctor.json",
      "version.txt",
      "config.toml",
      "environment.txt",
      "harmonylite.log",
      "schema.sql",
      "missing.txt",
    ]);
    assertNoSecret(files);
    const text = (name: string): string => files.get(`harmonylite-diag/${name}`)!;
    assert.match(text("version.txt"), /^harmonylite \d/);
    assert.match(text("config.toml"), /^node_id = 4711$/m);
    assert.match(text("config.toml"), /nats:\/\/\*\*\*@127\.0\.0\.1:1/);
    // The gate marks what it starts by such a variable, too.
    assert.match(text("environment.txt"), /^HARMONYLITE_NATS_USER_PASSWORD="\*\*\*"$/m);
    assert.match(text("harmonylite.log"), /^a line that nobody needs to hide$/m);
    assert.match(text("harmonylite.log"), /Unable to publish/);
    assert.match(text("schema.sql"), /CREATE TABLE visible_table/);
    assert.ok(![...files.values()].some((text) => text.includes("a row of mine")));
    assert.match(text("doctor.txt"), /^fail\s+nats\s+Failed to connect to NATS at 127\.0\.0\.1:1/m);
    assert.equal(JSON.parse(text("doctor.json")).node, "4711");
    assert.match(text("missing.txt"), /^streams\.json: NATS cannot be reached$/m);
  } finally {
    Deno.env.delete("HARMONYLITE_NATS_USER_PASSWORD");
  }
});

Deno.test("a bundle of a configuration that cannot be read holds no secret either", async () => {
  await using dir = await makeTempDir();
  const broken = configText(dir).replace("[nats]", `user_pssword = ${SECRET.misspelled}\n[nats`);
  const files = await makeBundle(dir, broken);
  assertNoSecret(files);
  assert.match(files.get("harmonylite-diag/config.toml")!, /^node_id = 4711$/m);
  assert.match(files.get("harmonylite-diag/doctor.txt")!, /^fail\s+configuration\s+Invalid configuration/m);
});

Deno.test("tar does not grumble about a bundle, of whatever size", async () => {
  await using lab = await openPatientLab();
  const ends = await lab.examine(async (patient) => {
    const ends: Uint8Array[] = [];
    // Archives are filled up to twenty blocks: each of these leaves another number of them.
    for (let blocks = 0; blocks < 20; blocks++) {
      const report = { "report.txt": "x".repeat(512 * blocks) };
      const { bytes } = await packBundle(patient, report, new AbortController().signal);
      const stream = new Blob([new Uint8Array(bytes)]).stream().pipeThrough(new DecompressionStream("gzip"));
      ends.push((await new Response(stream).bytes()).slice(-1024));
    }
    return ends;
  });
  assert.ok(ends.every((end) => end.length === 1024 && end.every((byte) => byte === 0)));
});
