import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { APPLICATION_SCHEMA } from "../support/application.ts";
import { startApplication } from "../support/application_process.ts";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const ROWS = 20_000;
const ROUNDS = 4;
/** With the entry that a trigger makes for each just below `max_transaction_rows`: the most that is applied at once. */
const LARGEST_ROWS = 49_500;

const SCHEMA = `CREATE TABLE readings (id INTEGER PRIMARY KEY, round INTEGER, text TEXT);
  CREATE TABLE summary (id INTEGER PRIMARY KEY, round INTEGER, total INTEGER);
  INSERT INTO summary VALUES (1, 0, 0);`;

/** Looks at a database again and again without a pause, as a reader in another process would. */
async function watchRows(
  path: string,
  isDone: () => boolean,
): Promise<{ looks: number; violations: string[] }> {
  using db = new DatabaseSync(path, { readOnly: true, timeout: 10_000 });
  const look = db.prepare(
    `SELECT (SELECT count(*) FROM readings) AS count, (SELECT coalesce(min(round), 0) FROM readings) AS low,
      (SELECT coalesce(max(round), 0) FROM readings) AS high, round, total FROM summary`,
  );
  const violations: string[] = [];
  let looks = 0;
  for (; !isDone(); looks++) {
    const seen = look.get() as Record<string, number>;
    const { count, low, high, round, total } = seen;
    if (low !== high || low !== round || count !== total) violations.push(JSON.stringify(seen));
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return { looks, violations };
}

Deno.test("a reader never sees half of a transaction of 20,000 rows in two tables", async () => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  let done = false;
  const watching = [2, 3].map((id) => watchRows(cluster.node(id).dbPath, () => done));
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      await cluster.node(1).sql(
        `BEGIN;
         WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT ${ROWS})
         INSERT INTO readings SELECT i, ${round}, 'reading ' || i FROM n WHERE true
           ON CONFLICT (id) DO UPDATE SET round = excluded.round;
         UPDATE summary SET round = ${round}, total = ${ROWS};
         COMMIT;`,
      );
      await eventually(
        `round ${round} has arrived`,
        () => [2, 3].every((id) => cluster.node(id).count("SELECT round FROM summary") === round),
        { timeoutMs: 30_000 },
      );
    }
  } finally {
    done = true;
    for (const { looks, violations } of await Promise.all(watching)) {
      assert.deepEqual(
        violations.slice(0, 5),
        [],
        `${violations.length} of ${looks} looks saw half a transaction`,
      );
      assert.ok(looks > 20, `the reader looked ${looks} times only`);
    }
  }
  await cluster.converge();
});

/** What drivers wait for a lock by default (Python's, for one): beyond it an application would fail. */
const BUSY_TIMEOUT_MS = 5_000;

const AUDIT = `CREATE TABLE audit (id TEXT PRIMARY KEY, reading INTEGER);
  CREATE TRIGGER audit_readings AFTER INSERT ON readings BEGIN
    INSERT INTO audit VALUES (hex(randomblob(16)), NEW.id); END;`;

Deno.test("applications go on writing while a transaction of 100,000 rows is sent and applied", async () => {
  await using cluster = await startCluster(2, { schema: `${SCHEMA} ${AUDIT} ${APPLICATION_SCHEMA}` });
  await using stack = new AsyncDisposableStack();
  const applications = await Promise.all(
    cluster.nodes.map(({ dbPath: db }, index) =>
      startApplication({ db, seed: index, firstId: (index + 1) * 1_000_000, rate: 100 })
    ),
  );
  for (const application of applications) stack.use(application);
  await cluster.node(1).sql(
    `BEGIN; WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT ${LARGEST_ROWS})
     INSERT INTO readings SELECT i, 1, 'reading ' || i FROM n; COMMIT;`,
  );
  await eventually(
    "it has arrived, and come back",
    () =>
      cluster.node(2).count("SELECT count(*) FROM readings") === LARGEST_ROWS &&
      cluster.node(1).pending() < 100,
    { timeoutMs: 60_000, intervalMs: 100 },
  );
  const reports = await Promise.all(applications.map((application) => application.stop()));
  await cluster.converge();
  const slowest = reports.map(({ transactionMs }) => Math.round(transactionMs.max));
  console.log(`    slowest transactions of the applications: ${slowest} ms`);
  assert.deepEqual(reports.map(({ errors }) => errors), [0, 0]);
  assert.ok(Math.max(...slowest) < BUSY_TIMEOUT_MS, `${slowest} ms`);
});
