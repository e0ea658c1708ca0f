import { DatabaseSync } from "node:sqlite";
import { atMost, type Figure } from "../figures.ts";
import { Lab, type LabNode, TABLE_SQL } from "../lab.ts";
import type { Part } from "./part.ts";

const UNIQUE_TABLE_SQL = "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b REAL, c BLOB);";
/**
 * What the targets compare with: a trigger that asks, in every row, whether a function is registered on the connection,
 * as the Go original does, and then logs the row.
 */
const GUARDED_TRIGGER_SQL = `
CREATE TABLE log_t (id INTEGER PRIMARY KEY AUTOINCREMENT,
  val_id INTEGER, val_a TEXT, val_b REAL, val_c BLOB, type TEXT, created_at INTEGER, state INTEGER);
CREATE TABLE log_all (id INTEGER PRIMARY KEY AUTOINCREMENT, change_table_id INTEGER, table_name TEXT);
CREATE TRIGGER log_t_insert AFTER INSERT ON t
WHEN (SELECT count(*) FROM pragma_function_list WHERE name = 'no_such_function') = 0 BEGIN
  INSERT INTO log_t (val_id, val_a, val_b, val_c, type, created_at, state) VALUES (NEW.id, NEW.a, NEW.b, NEW.c,
    'insert', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), 0);
  INSERT INTO log_all (change_table_id, table_name) VALUES (last_insert_rowid(), 't');
END;`;

/** The lowest of so many rounds counts: other work on the machine only ever adds to a cost. */
const ROUNDS = 3;

interface Shape {
  readonly label: string;
  readonly rowsPerTransaction: number;
  readonly rows: number;
  readonly maxRatio: number;
}

const SHAPES: readonly Shape[] = [
  { label: "1 row a transaction", rowsPerTransaction: 1, rows: 4_000, maxRatio: 0.4 },
  { label: "500 rows a transaction", rowsPerTransaction: 500, rows: 40_000, maxRatio: 0.1 },
];

interface Variant {
  readonly label: string;
  readonly table: string;
  readonly db: string;
}

/** What capture costs the application, with no node at work that could take its share of the processors. */
export const trigger: Part = {
  name: "trigger",
  help: "cost of a written row with and without our triggers",
  measure: async () => {
    await using lab = await Lab.open();
    const node = await capturedNode(lab);
    const variants: readonly Variant[] = [
      { label: "no trigger", table: "t", db: plainDatabase(lab, "none.db", TABLE_SQL) },
      { label: "ours", table: "t", db: node.db },
      {
        label: "guarded as in the Go original",
        table: "t",
        db: plainDatabase(lab, "guarded.db", TABLE_SQL + GUARDED_TRIGGER_SQL),
      },
      {
        label: "UNIQUE index, no trigger",
        table: "u",
        db: plainDatabase(lab, "unique.db", UNIQUE_TABLE_SQL),
      },
      { label: "UNIQUE index, ours", table: "u", db: node.db },
    ];
    const figures: Figure[] = [];
    for (const [index, shape] of SHAPES.entries()) {
      figures.push(...await measureShape(lab, shape, variants, 1 + index * 10_000_000));
    }
    assertCaptured(node);
    return figures;
  },
};

/** A database with our triggers, put there by the real program, which then goes away. */
async function capturedNode(lab: Lab): Promise<LabNode> {
  const node = lab.addNode(TABLE_SQL + UNIQUE_TABLE_SQL);
  await node.start();
  await node.kill();
  return node;
}

function plainDatabase(lab: Lab, name: string, sql: string): string {
  using db = new DatabaseSync(lab.file(name));
  db.exec(`PRAGMA journal_mode = WAL; ${sql}`);
  return lab.file(name);
}

/** The variants take turns, so that what disturbs the machine for a while disturbs all of them. */
async function measureShape(
  lab: Lab,
  shape: Shape,
  variants: readonly Variant[],
  firstId: number,
): Promise<Figure[]> {
  const { label, rowsPerTransaction, rows } = shape;
  const costs = variants.map(() => Infinity);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, { table, db }] of variants.entries()) {
      const order = { table, firstId: firstId + round * rows, rows, rowsPerTransaction };
      const { usPerRow } = await lab.write({ db }, order);
      costs[index] = Math.min(costs[index] ?? Infinity, usPerRow);
    }
  }
  const [, ours = 0, guarded = 1] = costs;
  return [
    ...variants.map((variant, index) => ({
      name: `${label}, ${variant.label}`,
      value: costs[index] ?? 0,
      unit: "µs/row",
    })),
    {
      name: `${label}, ours ÷ guarded`,
      value: ours / guarded,
      unit: "×",
      target: atMost(shape.maxRatio),
    },
  ];
}

function assertCaptured(node: LabNode): void {
  const written = node.count("SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM u) AS n");
  const logged = node.count(`SELECT count(*) AS n FROM "__harmonylite___global_change_log"`);
  if (written === logged) return;
  throw new Error(`Cannot trust the cost of the trigger: ${written} rows written, ${logged} logged`);
}
