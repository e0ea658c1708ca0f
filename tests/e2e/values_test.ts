import assert from "node:assert/strict";
import { type Cluster, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

/** SQL expressions whose value and type must be the same on every node. */
const VALUES = [
  "NULL",
  "0",
  "1",
  "-1",
  "1.0",
  "-0.0",
  "0.1",
  "1e300",
  "5e-324",
  "9e999",
  "-9e999",
  "9007199254740993",
  "9223372036854775807",
  "-9223372036854775808",
  "9223372036854775808.0",
  "''",
  "'text'",
  "'1'",
  "'1.0'",
  "'naïve 日本 🎈'",
  "char(0)",
  "'a' || char(0) || 'b'",
  "char(65533)",
  "CAST(x'ff00fe' AS TEXT)",
  "CAST(x'efbbbf41' AS TEXT)",
  "x''",
  "x'00'",
  "randomblob(300000)",
  "hex(zeroblob(100000))",
  "'2024-02-30'",
  "'2024-01-02 03:04:05.678901234'",
  "'2024-01-02T03:04:05.678+02:00'",
  "1704164645.678",
  "true",
  "'true'",
] as const;

const TYPES = [
  "",
  "INTEGER",
  "REAL",
  "NUMERIC",
  "TEXT",
  "BLOB",
  "DATETIME",
  "DATE",
  "BOOLEAN",
  "DECIMAL(10,2)",
];

async function convergeAndCount(cluster: Cluster, table: string, rows: number): Promise<void> {
  await cluster.converge();
  for (const node of cluster.nodes) assert.equal(node.count(`SELECT count(*) FROM ${table}`), rows);
}

Deno.test("every value of every type is the same on the other node, bit for bit, in columns of any type", async () => {
  const columns = TYPES.map((type, index) => `c${index} ${type}`).join(", ");
  const schema = `CREATE TABLE anything (id INTEGER PRIMARY KEY, ${columns});
    CREATE TABLE exact (id INTEGER PRIMARY KEY, value ANY, length INTEGER) STRICT;`;
  await using cluster = await startCluster(2, { schema });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  for (const [index, value] of VALUES.entries()) {
    const insert = `INSERT INTO anything VALUES (${index}, ${TYPES.map(() => value).join(", ")});
      INSERT INTO exact VALUES (${index}, ${value}, length(${value}));`;
    await (index % 2 === 0 ? first : second).sql(insert);
  }
  await convergeAndCount(cluster, "anything", VALUES.length);
  const typeOf = (value: string): unknown =>
    second.read(
      "SELECT typeof(c0) FROM anything WHERE id = ?",
      VALUES.findIndex((each) => each === value),
    )[0]![0];
  assert.equal(typeOf("1.0"), "real");
  assert.equal(typeOf("9223372036854775807"), "integer");
  assert.equal(typeOf("9e999"), "real");
  assert.equal(typeOf("x''"), "blob");
  assert.equal(typeOf("'1'"), "text");
  // Each value becomes another one: an update carries values as an insert does.
  await first.sql(
    `UPDATE anything SET c0 = (SELECT other.c0 FROM anything AS other
       WHERE other.id = (anything.id + 1) % ${VALUES.length}), c3 = c4;`,
  );
  await convergeAndCount(cluster, "anything", VALUES.length);
  assert.equal(await second.sql("PRAGMA integrity_check;"), "ok\n");
});

Deno.test("text is the same in databases of different encodings", async () => {
  const create = "CREATE TABLE texts (k TEXT PRIMARY KEY, v) WITHOUT ROWID;";
  await using cluster = await startCluster(3, {
    schema: "",
    choose: (id) => ({
      schema: `PRAGMA encoding = '${["UTF-16le", "UTF-8", "UTF-16be"][id - 1]}'; ${create}`,
    }),
  });
  const texts = ["a", "a\0", "\0\0", "é日本🎈", "\uFFFD", "\uFEFFx", ""];
  const literal = (text: string): string =>
    `char(${[...text].map((letter) => letter.codePointAt(0)).join()})`;
  for (const [at, node] of cluster.nodes.entries()) {
    await node.sql(
      texts.map((text) => `INSERT INTO texts VALUES (${at} || ${literal(text)}, ${literal(text)});`).join(""),
    );
  }
  // The driver cuts text at its first NUL, so its place is read as well.
  const seen = (text: string): string => `${text.indexOf("\0") + 1} ${text.split("\0")[0]}`;
  const expected = cluster.nodes.flatMap((_, at) => texts.map((text) => [`${at}${text}`, text].map(seen)));
  const inSql = (column: string): string => `instr(${column}, char(0)) || ' ' || ${column}`;
  for (const node of cluster.nodes) {
    await eventually("all texts are there", () => {
      assert.deepEqual(
        node.read(`SELECT ${inSql("k")}, ${inSql("v")} FROM texts`).sort(),
        expected.toSorted(),
      );
    });
  }
});
