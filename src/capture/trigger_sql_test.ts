import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";
import { runSql } from "../../tests/support/database.ts";

async function withTables(sql: string, check: (lab: CoreLab) => void | Promise<void>): Promise<void> {
  await using lab = await CoreLab.open(sql);
  await check(lab);
}

Deno.test("capture: insert, update and delete are logged with the row as it is", async () => {
  await withTables("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT)", (lab) => {
    lab.run("INSERT INTO t VALUES (1, 1.0, 'x'); UPDATE t SET a = 2 WHERE id = 1; DELETE FROM t");
    assert.deepEqual(lab.captured("t", "id", "a", "b"), ["insert|1|1.0|x", "update|1|2|x", "delete|1|2|x"]);
  });
});

Deno.test("capture: no affinity rewrites a value", async () => {
  await withTables("CREATE TABLE t (id INTEGER PRIMARY KEY, a)", (lab) => {
    lab.run("INSERT INTO t VALUES (1, '1'), (2, 1.0), (3, x'31'), (4, 9e999), (5, -9223372036854775808)");
    assert.deepEqual(
      lab.lines(`SELECT typeof(val_a) FROM "__harmonylite__t_change_log"`),
      ["'text'", "'real'", "'blob'", "'real'", "'integer'"],
    );
  });
});

Deno.test("capture: composite, text, blob and real keys", async () => {
  await withTables(
    `CREATE TABLE pair (a TEXT, b INTEGER, v, PRIMARY KEY (b, a));
     CREATE TABLE blobs (k BLOB PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE reals (k REAL PRIMARY KEY, v)`,
    (lab) => {
      lab.run("INSERT INTO pair VALUES ('x', 1, 0); UPDATE pair SET b = 2; DELETE FROM pair");
      lab.run("INSERT INTO blobs VALUES (x'00', 0); INSERT INTO reals VALUES (0.5, 0)");
      assert.deepEqual(lab.captured("blobs", "k"), ["insert|x00"]);
      assert.deepEqual(lab.captured("reals", "k"), ["insert|0.5"]);
      assert.deepEqual(
        lab.captured("pair", "a", "b").sort(),
        ["delete|x|1", "delete|x|2", "insert|x|1", "update|x|2"],
      );
    },
  );
});

Deno.test("capture: a table without a key is followed by its rowid, also when a column is called rowid", async () => {
  await withTables("CREATE TABLE bare (a); CREATE TABLE odd (rowid TEXT, a)", (lab) => {
    lab.run("INSERT INTO bare VALUES ('x'), ('x'); DELETE FROM bare WHERE rowid = 1");
    lab.run("INSERT INTO odd VALUES ('not the key', 1); UPDATE odd SET rowid = 'still not'");
    assert.deepEqual(lab.captured("bare", "rowid", "a"), ["insert|1|x", "insert|2|x", "delete|1|x"]);
    assert.deepEqual(
      lab.captured("odd", "_rowid_", "rowid"),
      ["insert|1|not the key", "update|1|still not"],
    );
  });
});

Deno.test("capture: generated columns are left out, STRICT tables and quoted names work", async () => {
  const odd = `we"ird 'name`;
  await withTables(
    `CREATE TABLE g (id INTEGER PRIMARY KEY, a INTEGER, s AS (a * 2) STORED, v AS (a * 3)) ;
     CREATE TABLE s (id INTEGER PRIMARY KEY, a ANY) STRICT;
     CREATE TABLE "we""ird 'name" ("a b" INTEGER PRIMARY KEY, "select" TEXT)`,
    (lab) => {
      lab.run("INSERT INTO g (id, a) VALUES (1, 2); INSERT INTO s VALUES (1, '01')");
      lab.run(`INSERT INTO "we""ird 'name" VALUES (1, 'x')`);
      assert.deepEqual(lab.captured("g", "id", "a"), ["insert|1|2"]);
      assert.deepEqual(lab.captured("s", "id", "a"), ["insert|1|01"]);
      assert.equal(lab.lines(`SELECT 1 FROM "__harmonylite__we""ird 'name_change_log"`).length, 1, odd);
    },
  );
});

Deno.test("capture: a key that changes is logged as a delete of the old one", async () => {
  await withTables("CREATE TABLE t (id INTEGER PRIMARY KEY, a)", (lab) => {
    lab.run("INSERT INTO t VALUES (1, 'x'); UPDATE t SET id = 2");
    assert.deepEqual(lab.captured("t", "id").sort(), ["delete|1", "insert|1", "update|2"]);
  });
});

Deno.test("capture: a key that changes under its collation only is the same key", async () => {
  await withTables("CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, a)", (lab) => {
    lab.run("INSERT INTO t VALUES ('a', 1); UPDATE t SET k = 'A'");
    assert.deepEqual(lab.captured("t", "k"), ["insert|a", "update|A"]);
  });
});

Deno.test("capture: what a user's trigger makes of the row is logged last, whether it fires before ours or after", async () => {
  const touch = (name: string): string =>
    `CREATE TRIGGER ${name} AFTER UPDATE OF a ON t BEGIN UPDATE t SET touched = touched + 1 WHERE id = NEW.id; END`;
  for (const early of [true, false]) {
    const table = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, touched DEFAULT 0)";
    await withTables(`${table}; ${early ? touch("early") : ""}`, (lab) => {
      if (!early) lab.run(touch("late"));
      lab.run("INSERT INTO t (id, a) VALUES (1, 1); UPDATE t SET a = 2");
      assert.equal(lab.captured("t", "a", "touched").at(-1), "update|2|1");
    });
  }
});

Deno.test("capture: nothing is left of a savepoint that was rolled back", async () => {
  await withTables("CREATE TABLE t (id INTEGER PRIMARY KEY)", (lab) => {
    lab.run("BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s; COMMIT");
    assert.deepEqual(lab.captured("t", "id"), ["insert|1"]);
  });
});

Deno.test("capture: works with trusted_schema off and recursive_triggers on", async () => {
  await withTables("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)", (lab) => {
    lab.run("PRAGMA trusted_schema = OFF; PRAGMA recursive_triggers = ON");
    lab.run("INSERT INTO t VALUES (1, 1); INSERT OR REPLACE INTO t VALUES (2, 1)");
    assert.ok(lab.captured("t", "id").includes("delete|1"));
    assert.equal(lab.captured("t", "id").at(-1), "insert|2");
  });
});

Deno.test("capture: the application's last_insert_rowid and changes stay its own", async () => {
  await withTables("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)", (lab) => {
    lab.run("INSERT INTO t VALUES (41, 1); INSERT OR REPLACE INTO t VALUES (42, 1)");
    assert.deepEqual(lab.lines("SELECT last_insert_rowid(), changes()"), ["42|1"]);
  });
});

Deno.test("capture: the clock rises with each change and stays near the wall clock after a bulk load", async () => {
  await withTables("CREATE TABLE t (id INTEGER PRIMARY KEY)", (lab) => {
    lab.run(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT i FROM n`,
    );
    const [[rises, last]] = lab.all(
      `SELECT count(*) = count(DISTINCT ts) AND max(ts) = (SELECT ts FROM "__harmonylite__t_change_log" ORDER BY id DESC),
       max(ts) FROM "__harmonylite__t_change_log"`,
    ) as [[bigint, bigint]];
    assert.equal(rises, 1n);
    const ahead = Number(last / 1_000_000n) - Date.now();
    assert.ok(Math.abs(ahead) < 1000, `the clock is ${ahead} ms off`);
  });
});

Deno.test("capture: no write fails when our tables were emptied by hand", async () => {
  await withTables("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)", (lab) => {
    lab.run("INSERT INTO t VALUES (1, 1)");
    for (
      const [name] of lab.all(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '!_!_%' ESCAPE '!'",
      )
    ) {
      lab.run(`DELETE FROM "${name}"`);
    }
    lab.run("INSERT OR REPLACE INTO t VALUES (2, 1)");
    assert.deepEqual(lab.captured("t", "id"), ["delete|1", "insert|2"]);
  });
});

Deno.test("capture: under an upsert and under INSERT OR REPLACE the clock does not go back", async () => {
  await withTables("CREATE TABLE t (id INTEGER PRIMARY KEY, a)", (lab) => {
    lab.runAt(2n ** 62n, "INSERT INTO t VALUES (1, 1)");
    lab.run("INSERT INTO t VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET a = excluded.a");
    lab.run("INSERT OR REPLACE INTO t VALUES (1, 3)");
    assert.deepEqual(
      lab.lines(`SELECT ts - ${2n ** 62n} FROM "__harmonylite__t_change_log"`),
      ["0", "1", "2"],
    );
  });
});

Deno.test("capture: a row that a user's trigger puts back under its key is not logged as deleted after that", async () => {
  await withTables(
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE k (k TEXT PRIMARY KEY, a) WITHOUT ROWID",
    (lab) => {
      // Made after ours, they fire before ours.
      lab.run(
        `CREATE TRIGGER x AFTER DELETE ON t WHEN OLD.a BEGIN INSERT INTO t VALUES (OLD.id, 0); END;
         CREATE TRIGGER y AFTER UPDATE OF k ON k WHEN NEW.a BEGIN INSERT INTO k VALUES (OLD.k, 0); END`,
      );
      lab.run("INSERT INTO t VALUES (1, 1); DELETE FROM t; DELETE FROM t");
      assert.deepEqual(lab.captured("t", "id", "a"), ["insert|1|1", "insert|1|0", "delete|1|0"]);
      lab.run("INSERT INTO k VALUES ('a', 1); UPDATE k SET k = 'b' WHERE a");
      assert.deepEqual(lab.captured("k", "k", "a"), ["insert|a|1", "insert|a|0", "update|b|1"]);
    },
  );
});

Deno.test("capture: a program that lacks a collation of the table's columns can still write", async () => {
  await withTables("CREATE TABLE other (id)", async (lab) => {
    // Only the sqlite3 program has this one.
    await runSql(lab.path, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT COLLATE uint, a);");
    await lab.schema.refresh();
    lab.run("INSERT INTO t VALUES (1, 'x', 1); UPDATE t SET a = 2; DELETE FROM t");
    assert.deepEqual(lab.captured("t", "id", "name", "a"), ["insert|1|x|1", "update|1|x|2", "delete|1|x|2"]);
  });
});
