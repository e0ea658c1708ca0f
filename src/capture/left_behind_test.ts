import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";
import { changeLog, ORIGINAL_GLOBAL_LOG, SCHEMA_HISTORY } from "../schema/names.ts";
import { quote } from "../sqlite/identifier.ts";
import { decodeEvents } from "../wire/codec.ts";

const GLOBAL = `CREATE TABLE "${ORIGINAL_GLOBAL_LOG}" (id INTEGER PRIMARY KEY AUTOINCREMENT,
  change_table_id INTEGER, table_name TEXT);`;
const HISTORY = `CREATE TABLE "${SCHEMA_HISTORY}" (id INTEGER PRIMARY KEY CHECK (id = 1),
  schema_hash TEXT NOT NULL, updated_at INTEGER NOT NULL, harmonylite_version TEXT);
  INSERT INTO "${SCHEMA_HISTORY}" VALUES (1, 'hash', 1, 'dev');`;
/** In the year 2001. */
const THEN_MS = 1_000_000_000_000;

interface Left {
  readonly table: string;
  /** SQL literals of the values, the type, the time and the state. */
  readonly change: string;
}

/** As the original makes it: its types are those of the table. */
function logOf(table: string, columns: string): string {
  return `CREATE TABLE "${changeLog(table)}" (id INTEGER PRIMARY KEY AUTOINCREMENT, ${columns},
    type TEXT, created_at INTEGER, state INTEGER);
    CREATE INDEX "${changeLog(table)}_state_index" ON "${changeLog(table)}" (state);`;
}

/** Changes in the order in which they were captured; those that were sent are in its global log no more. */
function changes(...left: Left[]): string {
  return left.map(({ table, change }) => {
    const log = quote(changeLog(table));
    return `INSERT INTO ${log} SELECT coalesce((SELECT max(id) FROM ${log}), 0) + 1, ${change};
      INSERT INTO "${ORIGINAL_GLOBAL_LOG}" (change_table_id, table_name)
        SELECT id, '${table}' FROM ${log} WHERE state <> 1 ORDER BY id DESC LIMIT 1;`;
  }).join("");
}

async function sent(lab: CoreLab): Promise<string[]> {
  const parts = (await lab.read()).flatMap(({ batch }) => [...batch.parts]);
  return parts.flatMap(({ data }) => decodeEvents(data)).map(({ table, type, values, ts }) =>
    `${table} ${type} ${values.join()} ${(ts ?? 0n) / 1_000_000n}`
  );
}

Deno.test("what the Go program had not sent is pending in the order in which it captured it", async () => {
  const tables = "CREATE TABLE a (id INTEGER PRIMARY KEY, x REAL); CREATE TABLE b (k TEXT PRIMARY KEY, x);";
  await using lab = await CoreLab.open(
    tables + GLOBAL + HISTORY + logOf("a", "val_id INTEGER, val_x REAL") + logOf("b", "val_k TEXT, val_x") +
      changes(
        { table: "a", change: `1, 1.0, 'insert', ${THEN_MS}, 1` },
        { table: "a", change: `1, 2.0, 'update', ${THEN_MS + 5}, 0` },
        { table: "b", change: `'k', '007', 'insert', ${THEN_MS + 5}, 0` },
        // The clock was set back, and no time is that of nobody.
        { table: "a", change: `2, 0.5, 'insert', ${THEN_MS + 1}, -1` },
        { table: "b", change: `'k', NULL, 'delete', NULL, 0` },
      ),
  );
  const now = Date.now();
  const events = await sent(lab);
  assert.deepEqual(events.slice(0, 3), [
    `a update 1,2 ${THEN_MS + 5}`,
    `b insert k,007 ${THEN_MS + 5}`,
    `a insert 2,0.5 ${THEN_MS + 5}`,
  ]);
  assert.match(events[3]!, /^b delete k \d+$/);
  assert.ok(Math.abs(Number(events[3]!.split(" ").at(-1)) - now) < 60_000, events[3]);
  assert.equal(events.length, 4);
  // From here on it is a database like any other, and later than all that it says of the past.
  lab.run("INSERT INTO a VALUES (3, 1.5)");
  assert.match((await sent(lab)).at(-1)!, /^a insert 3,1.5 /);
  assert.deepEqual(lab.all(`SELECT count(*) FROM "${ORIGINAL_GLOBAL_LOG}"`), [[0n]]);
});

Deno.test("a column that came after the Go program's triggers is not told as NULL", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE a (id INTEGER PRIMARY KEY, x, later);` + GLOBAL +
      logOf("a", "val_id INTEGER, val_x, val_gone") +
      changes({ table: "a", change: `1, 'x', 'y', 'insert', ${THEN_MS}, 0` }),
  );
  const parts = (await lab.read()).flatMap(({ batch }) => [...batch.parts]);
  assert.deepEqual(parts.flatMap(({ data }) => decodeEvents(data)).map(({ columns }) => columns), [[
    "id",
    "x",
  ]]);
});

Deno.test("rows with NULL in their key are sent as they are, and what nobody follows is dropped", async () => {
  const tables = "CREATE TABLE n (k TEXT PRIMARY KEY, x); CREATE TABLE secret (id INTEGER PRIMARY KEY);" +
    "INSERT INTO n VALUES (NULL, 'one'), (NULL, 'two');";
  await using lab = await CoreLab.open(
    tables + GLOBAL + HISTORY + logOf("n", "val_k TEXT, val_x") + logOf("secret", "val_id INTEGER") +
      changes(
        { table: "n", change: `NULL, 'one', 'insert', ${THEN_MS}, 0` },
        { table: "n", change: `'k', 'three', 'insert', ${THEN_MS}, 0` },
        { table: "secret", change: `1, 'insert', ${THEN_MS}, 0` },
      ),
    { filter: { include: [], exclude: ["secret"] } },
  );
  const events = await sent(lab);
  assert.deepEqual(events.map((event) => event.split(" ").slice(0, 3).join(" ")).sort(), [
    "n insert ,1,one",
    "n insert ,2,two",
    "n insert k,three",
  ]);
  const ours = lab.all("SELECT name FROM sqlite_schema WHERE type = 'table'").flat();
  assert.equal(ours.includes(changeLog("secret")), false);
});
