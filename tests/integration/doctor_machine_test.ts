import assert from "node:assert/strict";
import { ProcessLock } from "../../src/capture/process_lock.ts";
import { CHECKS } from "../../src/doctor/checks.ts";
import { judgeMount } from "../../src/doctor/file_system.ts";
import { freePort } from "../support/nats_server.ts";
import { ROOT } from "../support/node_process.ts";
import { openPatientLab } from "../support/patient_lab.ts";
import { mountSmallDisk } from "../support/small_disk.ts";

Deno.test("the README tells of every check, in order", async () => {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const [section] = /^### Doctor$[\s\S]*?^### /m.exec(readme)!;
  assert.deepEqual(
    [...section.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name),
    CHECKS.map(({ name }) => name),
  );
});

const SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";

Deno.test("configuration: each line that is wrong is named, and what can be read of the rest is used", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("configuration"), /^ok: .*config\.toml is valid/);
  lab.writeConfig({ toml: 'publish = "yes"\n[replication_log]\nshardz = 2\n[nats]\nca_file = "/nowhere"\n' });
  const { verdict, details } = await lab.check("configuration");
  assert.equal(verdict, "fail");
  assert.match(details!.join("\n"), /:3: publish .*\n.*shardz.*did you mean.*\n.*ca_file cannot be used/s);
  assert.match(await lab.verdict("database"), /^ok/);
  await Deno.writeTextFile(lab.configPath, "db_path = = 3");
  assert.equal((await lab.check("configuration")).verdict, "fail");
  assert.match(
    await lab.verdict("integrity"),
    /^skipped: the configuration does not say where the database is/,
  );
  await Deno.remove(lab.configPath);
  assert.match((await lab.check("configuration")).details!.join(), /there is no such file/);
});

Deno.test("configuration: a node that neither sends nor applies is warned of", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA, toml: "publish = false\nreplicate = false\n" });
  assert.match(await lab.verdict("configuration"), /^warn: .*this node does nothing/);
});

Deno.test("permissions: files of ours that everybody can read are closed by --fix, those of others are named", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("permissions"), /^ok/);
  const own = `${lab.dbPath}-harmonylite.json`;
  await Deno.writeTextFile(own, "{}");
  await Deno.chmod(own, 0o644);
  const found = await lab.check("permissions");
  assert.deepEqual([found.verdict, found.details], ["warn", [own]]);
  const fixed = await lab.check("permissions", { fix: true });
  assert.equal(fixed.verdict, "ok");
  assert.match(fixed.fixed!, /^Closed to other users: .*harmonylite\.json$/);
  assert.equal((await Deno.stat(own)).mode! & 0o777, 0o640);

  lab.writeConfig({ toml: '[nats]\nuser_name = "a"\nuser_password = "hunter22"\n' });
  await Deno.chmod(lab.configPath, 0o644);
  const open = await lab.check("permissions");
  assert.deepEqual([open.verdict, open.details], ["warn", [lab.configPath]]);
  assert.equal((await Deno.stat(lab.configPath)).mode! & 0o777, 0o644, "a file of others is left alone");
});

Deno.test("permissions: a database that cannot be written is a failure", async () => {
  await using lab = await openPatientLab();
  await Deno.mkdir(lab.dbPath);
  assert.match(await lab.verdict("permissions"), /^fail: A node cannot work: .* is not a file/);
  lab.writeConfig({ dbPath: "/nowhere/at/all.db" });
  assert.deepEqual(await lab.verdicts("permissions", "disk_space", "database"), {
    permissions: "fail: There is no folder /nowhere/at",
    disk_space: "skipped: none of the folders is there",
    database: "warn: There is no /nowhere/at/all.db",
  });
});

Deno.test("file system: the mount of the database is found, one of the network or one that is read-only is told", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("file_system"), /^(ok: \S+ at \/|skipped)/);
  const mounts = [
    "/dev/a / ext4 rw 0 0",
    "server:/x /mnt/my\\040disk nfs4 rw,vers=4 0 0",
    "/dev/b /media ext4 ro,noatime 0 0",
    "tmpfs /medial tmpfs rw 0 0",
  ].join("\n");
  const judge = (path: string): string => judgeMount(path, mounts).verdict;
  assert.deepEqual(
    ["/x.db", "/mnt/my disk/x.db", "/media/x.db", "/medial/x.db"].map(judge),
    ["ok", "warn", "fail", "ok"],
  );
});

Deno.test("disk space: a disk that is nearly full, and one that is full", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("disk_space"), /^ok: .* free/);
  for (const [size, verdict] of [[64 << 20, "warn"], [8 << 20, "fail"]] as const) {
    await using disk = await mountSmallDisk(size);
    if (disk === undefined) return;
    await using small = await openPatientLab({ schema: SCHEMA, path: disk.path });
    assert.equal((await small.check("disk_space")).verdict, verdict);
  }
});

Deno.test("ports: taken by another program while no node runs, and not listened to while one does", async () => {
  const port = freePort();
  const toml = `[prometheus]\nenable = true\nbind = "127.0.0.1:${port}"\n`;
  await using lab = await openPatientLab({ schema: SCHEMA, toml, natsUrl: "nats://127.0.0.1:1" });
  assert.equal(await lab.verdict("ports"), "ok: They are free");
  {
    using _other = Deno.listen({ hostname: "127.0.0.1", port });
    const { verdict, details } = await lab.check("ports");
    assert.deepEqual([verdict, details], [
      "fail",
      [`prometheus.bind = 127.0.0.1:${port}: another program listens there`],
    ]);
  }
  using _node = ProcessLock.acquire(lab.dbPath);
  assert.match(await lab.verdict("ports"), /^fail: The node does not listen/);
  using _listens = Deno.listen({ hostname: "127.0.0.1", port });
  assert.equal(await lab.verdict("ports"), "ok: The node listens");
});

Deno.test("node: whether it runs is told by its lock, not by a process id that a crash left behind", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.match(await lab.verdict("node"), /^warn: Node 1 does not run/);
  await Deno.writeTextFile(`${lab.dbPath}-harmonylite.lock`, `${Deno.pid}\n`);
  assert.match(await lab.verdict("node"), /^warn: Node 1 does not run/);
  using _node = ProcessLock.acquire(lab.dbPath);
  assert.match(await lab.verdict("node"), new RegExp(`^ok: Node 1 runs.*, process ${Deno.pid}`));
});
