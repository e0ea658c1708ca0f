import assert from "node:assert/strict";
import { ProcessLock } from "../../src/capture/process_lock.ts";
import { writeSequenceMap } from "../../src/agent/sequence_map.ts";
import { runSql } from "../support/database.ts";
import { openPatientLab, type PatientLab } from "../support/patient_lab.ts";
import { startProcess, type TestProcess } from "../support/process.ts";

const SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
const GLOBAL_LOG = "__harmonylite___global_change_log";

/** Python, with the database open in a way of its own, until it is killed. */
async function hold(lab: PatientLab, statements: string): Promise<TestProcess> {
  const program = `import sqlite3, time
db = sqlite3.connect(${JSON.stringify(lab.dbPath)}, isolation_level=None)
${statements}
print("holding", flush=True)
time.sleep(600)`;
  const holder = startProcess({ name: "holder", command: "python3", args: ["-c", program] });
  await holder.waitForLog("holding");
  return holder;
}

Deno.test("database: missing, missing with leftovers, not a database, empty, and there", async () => {
  await using lab = await openPatientLab();
  assert.match(await lab.verdict("database"), /^warn: There is no .*app\.db/);
  lab.writeConfig({ toml: "[snapshot]\nenabled = false\n" });
  assert.match(await lab.verdict("database"), /^fail: There is no .*app\.db/);
  await Deno.writeTextFile(`${lab.dbPath}-wal`, "left");
  assert.match(await lab.verdict("database"), /^fail: .*what belonged to it was left: .*app\.db-wal/);
  await Deno.remove(`${lab.dbPath}-wal`);
  await Deno.writeTextFile(
    lab.dbPath,
    "this is text, and long enough to be taken for a page header".repeat(20),
  );
  assert.match(await lab.verdict("database"), /^fail: .*not a SQLite file, or it is encrypted/);
  assert.match(await lab.verdict("journal_mode"), /^skipped: the file is no SQLite database/);
  await Deno.remove(lab.dbPath);
  await runSql(lab.dbPath, "PRAGMA user_version = 1;");
  assert.match(await lab.verdict("database"), /^warn: .* holds no table/);
  lab.sql(SCHEMA);
  assert.match(await lab.verdict("database"), /^ok/);
});

Deno.test("database: a transaction that a crash has interrupted is told of, and left to whoever may undo it", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  lab.sql("PRAGMA journal_mode = DELETE");
  await using holder = await hold(
    lab,
    `db.execute("PRAGMA cache_size = 5")
db.execute("BEGIN")
for i in range(3000): db.execute("INSERT INTO t VALUES (?, ?)", (i, "x" * 500))`,
  );
  await holder.kill();
  const size = (await Deno.stat(`${lab.dbPath}-journal`)).size;
  const found = await lab.verdicts("database", "integrity");
  assert.match(found["database"]!, /^warn: .*its last transaction was interrupted/);
  assert.match(found["integrity"]!, /^skipped: a transaction was interrupted/);
  assert.equal((await Deno.stat(`${lab.dbPath}-journal`)).size, size);
  assert.deepEqual(lab.sql("SELECT count(*) FROM t"), [[0]]);
  assert.match(await lab.verdict("database"), /^ok/);
});

Deno.test("database: looking at a quiet one leaves nothing beside it, and a WAL that was left there as it is", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  const beside = (): string[] =>
    [...Deno.readDirSync(lab.dbPath.slice(0, lab.dbPath.lastIndexOf("/")))].map(({ name }) => name).sort();
  assert.deepEqual(beside(), ["app.db", "config.toml"]);
  assert.match((await lab.verdicts("database", "locks", "capture"))["locks"]!, /^ok/);
  assert.deepEqual(beside(), ["app.db", "config.toml"]);
  {
    await using holder = await hold(lab, 'db.execute("INSERT INTO t VALUES (1, 1)")');
    await holder.kill();
  }
  const wal = await Deno.readFile(`${lab.dbPath}-wal`);
  assert.ok(wal.length > 0);
  assert.match((await lab.verdicts("database", "locks", "capture"))["locks"]!, /^ok/);
  assert.deepEqual(await Deno.readFile(`${lab.dbPath}-wal`), wal);
});

Deno.test("sqlite version: an old sqlite3 program on PATH is told of", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("sqlite_version"), /^ok: SQLite 3\.\d+/);
  const folder = `${lab.dbPath}-bin`;
  await Deno.mkdir(folder);
  await Deno.writeTextFile(`${folder}/sqlite3`, "#!/bin/sh\necho 3.34.1 2021-01-20\n", { mode: 0o755 });
  const path = Deno.env.get("PATH")!;
  Deno.env.set("PATH", `${folder}:${path}`);
  try {
    assert.match(await lab.verdict("sqlite_version"), /^warn: .*SQLite 3\.34\.1, older than 3\.35\.0/);
  } finally {
    Deno.env.set("PATH", path);
  }
});

Deno.test("journal mode: anything but WAL makes readers and writers wait", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("journal_mode"), /^ok/);
  lab.sql("PRAGMA journal_mode = DELETE");
  assert.match(await lab.verdict("journal_mode"), /^warn: The journal mode is delete/);
});

Deno.test("locks: a writer that does not end is found, with who has the file open", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("locks"), /^ok: A writer gets its turn/);
  await using holder = await hold(lab, 'db.execute("BEGIN IMMEDIATE")');
  const { verdict, text, details } = await lab.check("locks");
  assert.deepEqual([verdict, text], [
    "fail",
    "Another process has kept all other writers out for more than 5 s",
  ]);
  assert.ok(details!.some((line) => line.startsWith(`process ${holder.pid} (python`)), details!.join());
  // Readers go on.
  assert.match(await lab.verdict("integrity"), /^ok/);
});

Deno.test("locks: a database that is locked for everybody is told so by each check that needs it", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  lab.sql("PRAGMA journal_mode = DELETE");
  await using _holder = await hold(lab, 'db.execute("BEGIN EXCLUSIVE")');
  const found = await lab.verdicts("locks", "database", "pending");
  assert.match(found["locks"]!, /^fail: Another process has kept everybody out/);
  assert.match(found["database"]!, /^fail: .*it is locked/);
  assert.match(found["pending"]!, /^skipped: the database is locked/);
});

Deno.test("open files: a program that works on a database which was replaced is found", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  await using holder = await hold(lab, 'db.execute("SELECT * FROM t")');
  assert.match(await lab.verdict("open_files"), /^ok/);
  await Deno.remove(lab.dbPath);
  for (const end of ["-wal", "-shm"]) await Deno.remove(`${lab.dbPath}${end}`).catch(() => undefined);
  await runSql(lab.dbPath, `${SCHEMA};`);
  const { verdict, text } = await lab.check("open_files");
  assert.equal(verdict, "fail");
  assert.match(text, new RegExp(`^process ${holder.pid} \\(python\\S*\\) still works on a database file`));
});

Deno.test("integrity: a page that was overwritten is found", async () => {
  await using lab = await openPatientLab({ schema: `${SCHEMA}; CREATE INDEX i ON t (a)` });
  lab.sql(
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 2000) INSERT INTO t SELECT i, i FROM n",
  );
  assert.match(await lab.verdict("integrity"), /^ok: 1 table whole/);
  lab.sql("PRAGMA wal_checkpoint(TRUNCATE)");
  const bytes = await Deno.readFile(lab.dbPath);
  bytes.fill(0x55, bytes.length - 4096);
  await Deno.writeFile(lab.dbPath, bytes);
  const { verdict, details } = await lab.check("integrity");
  assert.equal(verdict, "fail", details?.join());
  assert.ok(details!.length > 0);
});

Deno.test("foreign keys: a row without the one that it refers to is counted", async () => {
  await using lab = await openPatientLab({
    schema:
      "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p)",
  });
  assert.match(await lab.verdict("foreign_keys"), /^ok: They hold in 1 table/);
  lab.sql("PRAGMA foreign_keys = OFF; INSERT INTO c VALUES (1, 7), (2, 8)");
  const { verdict, details } = await lab.check("foreign_keys");
  assert.deepEqual([verdict, details], ["warn", ["c: 2 rows"]]);
});

Deno.test("capture: absent, whole, behind the schema, and brought in line by --fix with nothing lost", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("capture"), /^warn: Neither triggers nor change logs are there/);
  await lab.install();
  assert.match(await lab.verdict("capture"), /^ok: .* on 1 table/);
  lab.sql(
    "INSERT INTO t VALUES (1, 2); DROP TRIGGER __harmonylite__t_change_log_on_update; ALTER TABLE t ADD COLUMN b",
  );
  const before = lab.sql("SELECT count(*) FROM sqlite_schema");
  const { verdict, details } = await lab.check("capture");
  assert.equal(verdict, "warn");
  assert.ok(details!.includes("missing: column __harmonylite__t_change_log.val_b"), details!.join("\n"));
  assert.ok(
    details!.some((line) => line.endsWith("__harmonylite__t_change_log_on_update")),
    details!.join("\n"),
  );
  assert.deepEqual(lab.sql("SELECT count(*) FROM sqlite_schema"), before, "it has only looked");
  const fixed = await lab.check("capture", { fix: true });
  assert.deepEqual([fixed.verdict, fixed.fixed], ["ok", "Triggers and change logs were brought in line: t"]);
  assert.deepEqual(lab.sql(`SELECT count(*) FROM ${GLOBAL_LOG}`), [[1]]);
  lab.sql("DROP TABLE __harmonylite___conflict_log");
  assert.match((await lab.check("capture")).details!.join(), /missing: table __harmonylite___conflict_log/);
});

Deno.test("capture: beside a node it is that node's to mend, and nothing is changed", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  await lab.install();
  lab.sql("DROP TRIGGER __harmonylite__t_change_log_on_update");
  using _node = ProcessLock.acquire(lab.dbPath);
  const { verdict, text, fixed } = await lab.check("capture", { fix: true });
  assert.deepEqual([verdict, fixed], ["fail", undefined]);
  assert.match(text, /though the node runs/);
});

Deno.test("tables: without a primary key, or such that cannot be replicated", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("tables"), /^ok: 1 table, each with a primary key/);
  lab.sql("CREATE TABLE loose (a); CREATE VIRTUAL TABLE words USING fts5(w)");
  const { verdict, details } = await lab.check("tables");
  assert.equal(verdict, "warn");
  assert.match(details!.join("\n"), /words is not replicated: it is a virtual table/);
  assert.match(details!.join("\n"), /loose has no primary key/);
});

Deno.test("number keys: several nodes that count up one table's ids are found, UUIDs and random ids are not", async () => {
  await using lab = await openPatientLab({
    schema: `${SCHEMA}; CREATE TABLE u (id TEXT PRIMARY KEY); CREATE TABLE r (id INTEGER PRIMARY KEY)`,
  });
  await lab.install();
  const versions = (table: string, ...rows: string[]): void =>
    void lab.sql(`INSERT INTO "__harmonylite__${table}_row_version" VALUES ${rows.join()}`);
  versions("t", "(1, 1, 1, 1, 0)", "(2, 2, 1, 1, 0)");
  versions("u", "('a', 1, 1, 1, 0)", "('b', 2, 2, 1, 0)");
  versions("r", "(4611686018427387904, 1, 1, 1, 0)", "(77, 2, 2, 1, 0)");
  assert.match(await lab.verdict("number_keys"), /^ok/);
  versions("t", "(3, 3, 2, 1, 0)");
  const { verdict, details } = await lab.check("number_keys");
  assert.deepEqual([verdict, details], ["warn", ["t.id: written by nodes 1, 2"]]);
});

Deno.test("owner: a database that belongs to another node is told of before it is taken over", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("owner"), /^skipped: no node has worked on this database yet/);
  await lab.install();
  lab.sql("INSERT INTO __harmonylite___node VALUES (1, 1, 0)");
  assert.match(await lab.verdict("owner"), /^ok: The database belongs to node 1/);
  lab.sql("UPDATE __harmonylite___node SET node = 7");
  assert.match(await lab.verdict("owner"), /^warn: The database belongs to node 7, and this is node 1/);
});

Deno.test("pending: how many wait, for how long, and why", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  await lab.install();
  assert.match(await lab.verdict("pending"), /^ok: Nothing waits/);
  lab.sql("INSERT INTO t VALUES (1, 1), (2, 2)");
  assert.match(await lab.verdict("pending"), /^warn: 2 changes wait to be sent, the oldest for [\d.]+ s$/);
  lab.writeConfig({ toml: "publish = false\n" });
  assert.match(await lab.verdict("pending"), /^warn: 2 changes wait .*: publish = false/);
  lab.writeConfig({});
  using _node = ProcessLock.acquire(lab.dbPath);
  assert.match(await lab.verdict("pending"), /^ok: 2 changes wait/);
  lab.sql("UPDATE __harmonylite__t_change_log SET created_at = created_at - 120000");
  assert.match(await lab.verdict("pending"), /^warn: 2 changes wait to be sent, the oldest for 2 min/);
  lab.sql("UPDATE __harmonylite__t_change_log SET created_at = created_at - 1000000");
  assert.match(await lab.verdict("pending"), /^fail: /);
});

Deno.test("quarantine and conflicts: what was put aside and what was overridden is counted, by reason and table", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  await lab.install();
  assert.match(await lab.verdict("quarantine"), /^ok/);
  assert.equal(await lab.verdict("conflicts"), "ok: No write was overridden");
  const now = Date.now();
  lab.sql(`INSERT INTO __harmonylite___quarantine (stream, sequence, reason, created_at)
    VALUES ('s-1', 4, 'no CBOR', ${now}), ('s-1', 9, 'no CBOR', ${now})`);
  const aside = await lab.check("quarantine");
  assert.equal(aside.verdict, "warn");
  assert.match(aside.details!.join(), /^2 × no CBOR \(s-1 at 9\), last 20/);
  const conflict = (at: number): unknown =>
    lab.sql(
      `INSERT INTO __harmonylite___conflict_log (table_name, reason, created_at) VALUES ('t', 'older', ${at})`,
    );
  conflict(now - 3 * 86_400_000);
  assert.equal(await lab.verdict("conflicts"), "ok: None in the last day, 1 overridden write before");
  conflict(now);
  const recent = await lab.check("conflicts");
  assert.deepEqual([recent.verdict, recent.details], ["warn", ["t: 1"]]);
});

Deno.test("sequence map: missing, torn and ahead of the database; --fix writes it from the database", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  const path = lab.dbPath.replace("app.db", "seq-map.cbor");
  assert.match(await lab.verdict("sequence_map"), /^ok: There is none yet/);
  await lab.install();
  lab.sql("INSERT INTO __harmonylite___position VALUES ('s-1', 1, 'then', 5, 0)");
  assert.match(await lab.verdict("sequence_map"), /^warn: There is no .*seq-map\.cbor/);
  await Deno.writeFile(path, new Uint8Array([0xb9, 0x00]));
  assert.match(await lab.verdict("sequence_map"), /^warn: Cannot read the sequence map/);
  const fixed = await lab.check("sequence_map", { fix: true });
  assert.equal(fixed.verdict, "ok");
  assert.match(fixed.fixed!, /^Written anew/);
  writeSequenceMap(path, new Map([["s-1", 9]]));
  assert.match(await lab.verdict("sequence_map"), /^warn: .* is ahead of the database: s-1/);
  // A node that runs writes it itself.
  using _node = ProcessLock.acquire(lab.dbPath);
  assert.equal((await lab.check("sequence_map", { fix: true })).fixed, undefined);
});

Deno.test("a check that does not end in time is skipped, and the others are made", async () => {
  const { examine } = await import("../../src/doctor/examine.ts");
  await using lab = await openPatientLab({ schema: SCHEMA });
  const { signal } = new AbortController();
  const never = { name: "never", limitMs: 50, run: () => new Promise<never>(() => {}) };
  const broken = { name: "broken", run: () => Promise.reject(new Error("a bug")) };
  const results = await lab.examine((patient) =>
    examine(patient, [never, broken, { name: "fine", run: () => ({ verdict: "ok", text: "fine" }) }], {
      signal,
      fix: false,
    })
  );
  assert.deepEqual(results.map(({ name, verdict, text }) => `${name} ${verdict}: ${text}`), [
    "never skipped: it has taken longer than 0.05 s",
    "broken fail: The check itself has failed: a bug",
    "fine ok: fine",
  ]);
});
