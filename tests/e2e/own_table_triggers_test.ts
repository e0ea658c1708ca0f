import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { assertSameContent } from "../support/database.ts";
import { runOldSql } from "../support/old_sqlite.ts";
import { Unfollowed } from "../support/unfollowed.ts";

const SCHEMA = `
  CREATE TABLE kept (id INTEGER PRIMARY KEY, v);
  CREATE TABLE moved (k TEXT PRIMARY KEY, v);
  CREATE TABLE ring (id INTEGER PRIMARY KEY, v);
  CREATE TABLE renamed (k TEXT PRIMARY KEY, v);
  CREATE TABLE fixed (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
  CREATE TABLE single (id INTEGER PRIMARY KEY, mail TEXT UNIQUE, v);
  CREATE TABLE soft (id INTEGER PRIMARY KEY, v UNIQUE, deleted DEFAULT 0);
  CREATE TABLE quiet (id INTEGER PRIMARY KEY, v);
  CREATE TABLE bare (v, n DEFAULT 0);`;

/** Triggers that write to the table that they are on. */
const TRIGGERS: Readonly<Record<string, string>> = {
  kept: "AFTER DELETE ON kept WHEN OLD.v <> 'gone' BEGIN INSERT INTO kept VALUES (OLD.id, 'gone'); END",
  moved:
    "AFTER UPDATE OF k ON moved WHEN NEW.v <> 'moved' BEGIN INSERT INTO moved VALUES (OLD.k, 'moved'); END",
  ring: "AFTER INSERT ON ring BEGIN DELETE FROM ring WHERE id <= NEW.id - 3 OR id < 0; END",
  renamed: "AFTER INSERT ON renamed BEGIN UPDATE renamed SET k = 'k-' || k WHERE k = NEW.k; END",
  fixed: "AFTER UPDATE OF k ON fixed BEGIN UPDATE fixed SET k = OLD.k, v = v || '!' WHERE k = NEW.k; END",
  single: "BEFORE INSERT ON single BEGIN DELETE FROM single WHERE mail = NEW.mail; END",
  soft:
    "BEFORE DELETE ON soft BEGIN UPDATE soft SET deleted = 1 WHERE id = OLD.id; SELECT RAISE(IGNORE); END",
  bare: "AFTER UPDATE OF v ON bare BEGIN UPDATE bare SET n = n + 1 WHERE rowid = NEW.rowid; END",
};

const STATEMENTS = `
  INSERT INTO kept VALUES (1, 'a'), (2, 'b'), (3, 'gone'); DELETE FROM kept WHERE id <> 2; UPDATE kept SET id = 5 WHERE id = 2;
  DELETE FROM kept; DELETE FROM kept WHERE id = 1;
  INSERT INTO moved VALUES ('a', 1), ('b', 2); UPDATE moved SET k = 'c' WHERE k = 'a'; UPDATE moved SET k = k || 'x';
  INSERT INTO ring VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (-1, 'never'); UPDATE ring SET id = id + 10;
  INSERT INTO renamed VALUES ('a', 1), ('b', 2); REPLACE INTO renamed VALUES ('k-a', 3), ('a', 4);
  INSERT INTO fixed VALUES ('a', 'x'), ('b', 'y'); UPDATE fixed SET k = k || 'z'; UPDATE fixed SET k = 'c', v = 'new' WHERE k = 'a';
  INSERT INTO single VALUES (1, 'a', 1), (2, 'b', 2); INSERT INTO single VALUES (3, 'a', 3), (4, 'a', 4);
  INSERT INTO soft VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0); DELETE FROM soft WHERE id = 1; UPDATE soft SET id = 20 WHERE id = 2;
  REPLACE INTO soft VALUES (4, 'c', 0);
  INSERT INTO bare (v) VALUES ('a'), ('b'); UPDATE bare SET v = v || v; UPDATE bare SET rowid = 7 WHERE v = 'aa';`;

function create(suffix: string): string {
  return Object.entries(TRIGGERS).map(([table, text]) => `CREATE TRIGGER ${table}_${suffix} ${text};`).join(
    "\n",
  );
}

Deno.test("triggers that write to the table they are on have the same effect on all nodes, whenever they were made", async () => {
  await using cluster = await startCluster(2, { schema: `${SCHEMA} ${create("before_ours")}` });
  const nodes = cluster.nodes;
  const { dbPath: alone } = await Unfollowed.create(
    `${cluster.dir}/alone.db`,
    `${SCHEMA} ${create("before_ours")}`,
  );
  const tables = Object.keys(TRIGGERS);
  const anew = `${tables.map((table) => `DROP TRIGGER ${table}_before_ours;`).join(" ")} ${
    create("after_ours")
  }`;
  const clear = tables.map((table) => `DELETE FROM ${table};`).join(" ");
  for (const [round, prepare] of ["", anew, "PRAGMA recursive_triggers = ON;"].entries()) {
    // Those that were just made fire before ours: it takes a moment until ours are laid anew.
    const sql = `${prepare} ${clear} ${STATEMENTS}`;
    if (prepare === anew) await runOldSql(nodes[0]!.dbPath, anew);
    const [seen, expected] = [await runOldSql(nodes[round % 2]!.dbPath, sql), await runOldSql(alone, sql)];
    assert.deepEqual(seen, expected);
    await cluster.converge();
    assertSameContent([alone, ...nodes.map(({ dbPath }) => dbPath)]);
  }
});
