import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { bind, exactly, type RandomValue, randomValue } from "../support/random_values.ts";
import { Random } from "../sim/random.ts";

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

Deno.test("text that is no valid UTF-16 keeps its bytes between databases of that encoding", async () => {
  await using cluster = await startCluster(2, {
    schema: "PRAGMA encoding = 'UTF-16le'; CREATE TABLE texts (id INTEGER PRIMARY KEY, v);",
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO texts VALUES (1, CAST(x'610000D8' AS TEXT)), (2, CAST(x'00DC6100' AS TEXT));");
  await eventually("the halves of pairs are there", () => {
    assert.deepEqual(second.read("SELECT typeof(v), hex(CAST(v AS BLOB)) FROM texts ORDER BY id"), [
      ["text", "610000D8"],
      ["text", "00DC6100"],
    ]);
  });
});

const RANDOM_ROWS = 400;
const seed = Number(Deno.env.get("HARMONYLITE_SEED") ?? Date.now() & 0x7fffffff);

/**
 * One table with a column of each type, one that keeps every value as it is, and one for each type as a key: INT, as a key
 * that is INTEGER takes nothing but integers.
 */
const RANDOM_SCHEMA = `CREATE TABLE typed (id INTEGER PRIMARY KEY, ${
  TYPES.map((type, at) => `c${at} ${type}`).join(", ")
});
  CREATE TABLE strict_any (id INTEGER PRIMARY KEY, ${TYPES.map((_, at) => `c${at} ANY`).join(", ")}) STRICT;
  ${
  TYPES.map((type, at) => `CREATE TABLE keyed${at} (k ${type.replace("INTEGER", "INT")} PRIMARY KEY, v);`)
    .join(" ")
}`;

/** Writes random values into all tables of {@link RANDOM_SCHEMA}, as an application does: rows `firstId` and following. */
function writeRandomly(node: ClusterNode, firstId: number, random: Random): void {
  using db = new DatabaseSync(node.dbPath, { timeout: 10_000 });
  const run = (sql: string, values: readonly RandomValue[]): void => {
    const { expressions, parameters } = bind(values);
    let at = 0;
    db.prepare(sql.replaceAll("?", () => expressions[at++]!)).run(...parameters);
  };
  const row = (): RandomValue[] => TYPES.map(() => randomValue(random));
  const places = TYPES.map(() => "?").join(", ");
  db.exec("BEGIN IMMEDIATE");
  for (let id = firstId; id < firstId + RANDOM_ROWS; id++) {
    for (const table of ["typed", "strict_any"]) {
      run(`INSERT INTO ${table} VALUES (${id}, ${places})`, row());
      const set = TYPES.map((_, at) => `c${at} = ?`).join(", ");
      if (random.chance(0.5)) run(`UPDATE ${table} SET ${set} WHERE id = ${id}`, row());
    }
    const keyed = `keyed${random.below(TYPES.length)}`;
    run(`INSERT OR IGNORE INTO ${keyed} VALUES (?, ?)`, [randomValue(random), randomValue(random)]);
    const any = `rowid = (SELECT rowid FROM ${keyed} LIMIT 1 OFFSET ${random.below(20)})`;
    if (random.chance(0.3)) run(`UPDATE OR IGNORE ${keyed} SET k = ?, v = ? WHERE ${any}`, row().slice(0, 2));
    if (random.chance(0.1)) run(`DELETE FROM ${keyed} WHERE ${any}`, []);
  }
  db.exec("COMMIT");
}

/** Type and exact value of every column of some rows, one line each. */
function exactRows(node: ClusterNode, table: string, ids: readonly [number, number]): string[] {
  const columns = TYPES.flatMap((_, at) => [`typeof(c${at})`, exactly(`c${at}`)]);
  return node.read(`SELECT ${columns.join(", ")} FROM ${table} WHERE id BETWEEN ? AND ? ORDER BY id`, ...ids)
    .map((row) => row.map(bitsOf).join(" "));
}

/** A value as it lies in memory: −0.0 is not 0.0. */
function bitsOf(value: unknown): string {
  if (value instanceof Uint8Array) return `x${value.toHex()}`;
  if (typeof value !== "number") return String(value);
  return `r${new Uint8Array(new Float64Array([value]).buffer).toHex()}`;
}

Deno.test("random values of every kind are the same bits on both nodes, sent plain or compressed", async () => {
  console.log(`    HARMONYLITE_SEED=${seed}`);
  const random = new Random(seed);
  await using cluster = await startCluster(2, {
    schema: RANDOM_SCHEMA,
    choose: (id) => ({ settings: { replication_log: { compress: id === 1 } } }),
  });
  const written = cluster.nodes.map((node, at) => {
    const ids = [at * RANDOM_ROWS + 1, (at + 1) * RANDOM_ROWS] as const;
    writeRandomly(node, ids[0], random);
    return {
      ids,
      typed: exactRows(node, "typed", ids),
      strict_any: exactRows(node, "strict_any", ids),
    };
  });
  await convergeAndCount(cluster, "typed", 2 * RANDOM_ROWS);
  for (const node of cluster.nodes) {
    for (const { ids, typed, strict_any } of written) {
      assert.deepEqual(exactRows(node, "typed", ids), typed);
      assert.deepEqual(exactRows(node, "strict_any", ids), strict_any);
    }
    assert.equal(node.count("SELECT count(*) FROM __harmonylite___quarantine"), 0);
  }
});
