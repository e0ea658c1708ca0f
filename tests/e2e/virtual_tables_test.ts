import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

Deno.test("full-text and R-tree tables stay local with their data, and ordinary tables beside them go on", async () => {
  const virtual = ["plain_fts", "external_fts", "contentless_fts", "old_fts", "places", "words"];
  const schema = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT); CREATE TABLE plain_fts_data2 (x);
    CREATE VIRTUAL TABLE plain_fts USING fts5 (text);
    CREATE VIRTUAL TABLE external_fts USING fts5 (text, content = 'notes', content_rowid = 'id');
    CREATE VIRTUAL TABLE contentless_fts USING fts5 (text, content = '');
    CREATE VIRTUAL TABLE old_fts USING fts4 (text);
    CREATE VIRTUAL TABLE places USING rtree (id, min_x, max_x);
    CREATE VIRTUAL TABLE words USING fts5vocab (plain_fts, 'row');`;
  await using cluster = await startCluster(2, { schema });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  const write = (id: number, text: string): string =>
    `BEGIN; INSERT INTO notes VALUES (${id}, '${text}'); INSERT INTO plain_fts_data2 VALUES ('${text}');
     INSERT INTO plain_fts VALUES ('${text}'); INSERT INTO external_fts (rowid, text) VALUES (${id}, '${text}');
     INSERT INTO contentless_fts (rowid, text) VALUES (${id}, '${text}'); INSERT INTO old_fts VALUES ('${text}');
     INSERT INTO places VALUES (${id}, 1, 2); COMMIT;`;
  await first.sql(write(1, "from one"));
  await cluster.converge();
  await second.sql(write(2, "from two"));
  await cluster.converge();
  // Afterwards the tables in which virtual ones keep their data stand before them in the schema.
  await first.sql("VACUUM;");
  assert.equal(await first.stop(), 0);
  await first.start();
  await first.sql(write(3, "again"));
  await cluster.converge();
  assert.deepEqual(second.read("SELECT text FROM notes ORDER BY id").flat(), [
    "from one",
    "from two",
    "again",
  ]);
  assert.equal(second.count("SELECT count(*) FROM plain_fts_data2"), 3);
  assert.deepEqual(
    second.read("SELECT rowid FROM contentless_fts ('from')").flat(),
    [2n],
    "its own entries only",
  );
  assert.deepEqual(second.read("SELECT id FROM places").flat(), [2n]);
  for (const node of cluster.nodes) {
    const ours = node.read(
      "SELECT name FROM sqlite_schema WHERE name LIKE '%harmonylite%fts%' AND name NOT LIKE '%data2%'",
    );
    assert.deepEqual(ours, []);
    for (const name of virtual) {
      await node.process.waitForLog(`Table is not replicated table=${name} reason="it is a virtual table"`);
    }
    assert.equal(
      await node.sql(
        "INSERT INTO plain_fts (plain_fts) VALUES ('integrity-check'); SELECT rtreecheck('places');",
      ),
      "ok\n",
    );
  }
});

Deno.test("what is written through a view reaches the other nodes once", async () => {
  const schema =
    `CREATE TABLE people (id INTEGER PRIMARY KEY, first, last); CREATE TABLE log (id INTEGER PRIMARY KEY, what);
    CREATE VIEW names AS SELECT id, first || ' ' || last AS name FROM people;
    CREATE TRIGGER add_name INSTEAD OF INSERT ON names BEGIN
      INSERT INTO people VALUES (NEW.id, substr(NEW.name, 1, instr(NEW.name, ' ') - 1), substr(NEW.name, instr(NEW.name, ' ') + 1));
      INSERT INTO log (what) VALUES ('added ' || NEW.name);
    END;
    CREATE TRIGGER change_name INSTEAD OF UPDATE ON names BEGIN
      UPDATE people SET first = substr(NEW.name, 1, instr(NEW.name, ' ') - 1) WHERE id = OLD.id;
      INSERT INTO log (what) VALUES ('changed to ' || NEW.name);
    END;
    CREATE TRIGGER remove_name INSTEAD OF DELETE ON names BEGIN DELETE FROM people WHERE id = OLD.id; END;
    CREATE VIEW broken AS SELECT * FROM no_such_table; CREATE VIEW strange AS SELECT no_such_function(id) FROM people;`;
  await using cluster = await startCluster(2, { schema });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO names VALUES (1, 'Ada King'), (2, 'Grace Hopper');");
  await cluster.converge();
  await second.sql("UPDATE names SET name = 'Augusta King' WHERE id = 1; DELETE FROM names WHERE id = 2;");
  await cluster.converge();
  assert.deepEqual(first.read("SELECT * FROM people"), [[1n, "Augusta", "King"]]);
  assert.deepEqual(first.read("SELECT what FROM log ORDER BY id").flat(), [
    "added Ada King",
    "added Grace Hopper",
    "changed to Augusta King",
  ]);
});

Deno.test("an attached file is left alone, also when one transaction writes to both", async () => {
  const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE); CREATE TABLE bare (v);";
  await using cluster = await startCluster(2, { schema });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  const plain = `${cluster.dir}/attached.db`;
  const attach =
    `ATTACH '${plain}' AS other; CREATE TABLE IF NOT EXISTS other.t (id INTEGER PRIMARY KEY, v UNIQUE);
    CREATE TABLE IF NOT EXISTS other.bare (v); CREATE TEMP TABLE t2 AS SELECT 1;`;
  await first.sql(
    `${attach} BEGIN; INSERT INTO main.t VALUES (1, 'main'); INSERT INTO other.t VALUES (1, 'other'), (2, 'x');
    INSERT INTO bare VALUES ('main'); INSERT INTO other.bare VALUES ('other'); REPLACE INTO main.t VALUES (2, 'main');
    INSERT INTO main.t SELECT id + 10, v || id FROM other.t; COMMIT;`,
  );
  await cluster.converge();
  assert.deepEqual(second.read("SELECT id, v FROM t ORDER BY id"), [[2n, "main"], [11n, "other1"], [
    12n,
    "x2",
  ]]);
  assert.deepEqual(second.read("SELECT v FROM bare").flat(), ["main"]);
  // The other way round: the application's own file is attached to, and both of these are followed.
  await first.sql(`ATTACH '${second.dbPath}' AS second; CREATE TEMP TABLE t (id, v); BEGIN;
    INSERT INTO main.t VALUES (3, 'in the first'); INSERT INTO second.t VALUES (4, 'in the second');
    UPDATE second.t SET v = 'changed' WHERE id = 2; DELETE FROM main.t WHERE id = 11; INSERT INTO temp.t VALUES (1, 2); COMMIT;`);
  const expected = [[2n, "changed"], [3n, "in the first"], [4n, "in the second"], [12n, "x2"]];
  await eventually("both have all", () => {
    for (const node of cluster.nodes) {
      assert.deepEqual(node.read("SELECT id, v FROM t ORDER BY id"), expected);
    }
  });
  await cluster.converge();
});

Deno.test("a trigger that needs a function of the application stops the shard until it is gone, not the node", async () => {
  const tables =
    "CREATE TABLE checked (id INTEGER PRIMARY KEY, mail); CREATE TABLE counted (id INTEGER PRIMARY KEY, mail);";
  await using cluster = await startCluster(2, {
    schema: tables,
    choose: (id) =>
      id === 1 ? {} : {
        // The first only looks at the row, which is not done again where changes are applied.
        schema: `${tables} CREATE TRIGGER valid BEFORE INSERT ON checked BEGIN
            SELECT RAISE(ABORT, 'no address') WHERE NOT is_address(NEW.mail); END;
          CREATE TRIGGER domains AFTER INSERT ON counted BEGIN SELECT count_domain(NEW.mail); END;`,
      },
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO checked VALUES (1, 'a@x');");
  await cluster.converge();
  await first.sql(
    "BEGIN; INSERT INTO checked VALUES (2, 'b@x'); INSERT INTO counted VALUES (1, 'a@x'); COMMIT;",
  );
  await second.process.waitForLog(/schema_mismatch_paused .*counted.* no such function: count_domain/);
  await second.sql("UPDATE checked SET mail = 'from two' WHERE id = 1;");
  await eventually(
    "its own changes are sent",
    () => assert.equal(first.read("SELECT mail FROM checked")[0]![0], "from two"),
  );
  assert.deepEqual(second.read("SELECT id FROM checked").flat(), [1n], "nothing of the transaction shows");
  await second.sql("DROP TRIGGER domains;");
  await cluster.converge();
  assert.equal(second.count("SELECT count(*) FROM counted"), 1);
});
