import { DatabaseSync } from "node:sqlite";
import { findProgram } from "../../src/lib/programs.ts";
import { runProgram } from "./process.ts";

/** How long another process's lock is waited for. */
const BUSY_TIMEOUT_MS = 30_000;

/** Creates a database in WAL mode, as most applications do, and runs `sql` in it. */
export async function createDatabase(path: string, sql: string): Promise<void> {
  await runSql(path, `PRAGMA journal_mode = WAL;\n${sql}`);
}

/**
 * Runs statements the way an application does: in another process, with another build of SQLite (the `sqlite3`
 * program, else Python's module). Returns the rows of queries as lines with columns parted by `|`.
 */
export async function runSql(path: string, sql: string): Promise<string> {
  const sqlite = findProgram("sqlite3");
  if (sqlite !== undefined) {
    const args = ["-batch", "-bail", "-cmd", `.timeout ${BUSY_TIMEOUT_MS}`, path];
    return await runProgram(sqlite, args, { input: `${sql}\n;\n` });
  }
  const python = findProgram("python3");
  if (python === undefined) {
    throw new Error("Cannot run SQL as an application: neither sqlite3 nor python3 is on PATH");
  }
  return await runProgram(python, ["-c", PYTHON_SHELL, path, String(BUSY_TIMEOUT_MS / 1000)], { input: sql });
}

const PYTHON_SHELL = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]), isolation_level=None)
statement = ""
for piece in (sys.stdin.read() + ";").split(";"):
    statement += piece + ";"
    if sqlite3.complete_statement(statement):
        for row in db.execute(statement):
            print("|".join("" if value is None else str(value) for value in row))
        statement = ""
`;

/** The whole database as SQL text that makes it anew: the `.dump` of the `sqlite3` program, else Python's. */
export async function dumpSql(path: string): Promise<string> {
  const sqlite = findProgram("sqlite3");
  if (sqlite !== undefined) return await runProgram(sqlite, ["-batch", path, ".dump"]);
  return await runProgram("python3", ["-c", PYTHON_DUMP, path]);
}

const PYTHON_DUMP = "import sqlite3, sys\nprint('\\n'.join(sqlite3.connect(sys.argv[1]).iterdump()))";

/** The content of one table. */
export interface TableDump {
  readonly columns: readonly string[];
  /** One line a row, `type value` for each column; sorted, so that equal contents are equal lists. */
  readonly rows: readonly string[];
}

/** A way in which two databases differ, in words for a person. */
export interface Difference {
  readonly table: string;
  readonly text: string;
}

export function dumpTable(path: string, table: string): TableDump {
  using db = openReadOnly(path);
  return dump(db, table);
}

/** Names of the user's tables, ours and SQLite's left out. */
export function userTables(path: string): string[] {
  using db = openReadOnly(path);
  return listTables(db);
}

/**
 * Compares all user tables of the databases with the first one's: every row, the type and the exact value of every
 * column. Returns at most `maxDifferences` (default 20); none when the contents are identical.
 */
export function compareDatabases(paths: readonly string[], maxDifferences = 20): Difference[] {
  const [first, ...others] = paths;
  if (first === undefined || others.length === 0) throw new Error("Cannot compare fewer than two databases");
  const reference = dumpAll(first);
  const differences = others.flatMap((path) => [...compareDumps([first, reference], [path, dumpAll(path)])]);
  return differences.slice(0, maxDifferences);
}

/** Throws with the differences, one a line, unless {@link compareDatabases} finds none. */
export function assertSameContent(paths: readonly string[]): void {
  const differences = compareDatabases(paths);
  if (differences.length === 0) return;
  throw new Error(`Databases differ:\n${differences.map(({ text }) => `  ${text}`).join("\n")}`);
}

type Dumps = ReadonlyMap<string, TableDump>;

function dumpAll(path: string): Dumps {
  using db = openReadOnly(path);
  db.exec("BEGIN"); // One read snapshot for all tables.
  return new Map(listTables(db).map((table) => [table, dump(db, table)]));
}

function* compareDumps([aPath, a]: [string, Dumps], [bPath, b]: [string, Dumps]): Generator<Difference> {
  for (const table of new Set([...a.keys(), ...b.keys()])) {
    const left = a.get(table);
    const right = b.get(table);
    if (left === undefined || right === undefined) {
      const [has, lacks] = left === undefined ? [bPath, aPath] : [aPath, bPath];
      yield { table, text: `${table}: is in ${has}, not in ${lacks}` };
    } else if (left.columns.join() !== right.columns.join()) {
      yield {
        table,
        text: `${table}: columns (${left.columns}) in ${aPath}, (${right.columns}) in ${bPath}`,
      };
    } else {
      for (const row of subtract(left.rows, right.rows)) yield missing(table, left, row, aPath, bPath);
      for (const row of subtract(right.rows, left.rows)) yield missing(table, left, row, bPath, aPath);
    }
  }
}

function missing(table: string, { columns }: TableDump, row: string, has: string, lacks: string): Difference {
  return { table, text: `${table} (${columns.join(", ")}): (${row}) is in ${has}, not in ${lacks}` };
}

/** The lines of `a` that `b` lacks, counting repeated ones. */
function* subtract(a: readonly string[], b: readonly string[]): Generator<string> {
  const left = new Map<string, number>();
  for (const row of b) left.set(row, (left.get(row) ?? 0) + 1);
  for (const row of a) {
    const count = left.get(row) ?? 0;
    if (count === 0) yield row;
    else left.set(row, count - 1);
  }
}

function openReadOnly(path: string): DatabaseSync {
  return new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
}

function listTables(db: DatabaseSync): string[] {
  return db.prepare(
    `SELECT name FROM pragma_table_list
     WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
       AND name NOT LIKE '\\_\\_harmonylite%' ESCAPE '\\'
     ORDER BY name`,
  ).all().map((row) => String(row["name"]));
}

function dump(db: DatabaseSync, table: string): TableDump {
  // Hidden 1 is a hidden column of a virtual table; 2 and 3 are generated columns, which are compared like others.
  const columns = db.prepare("SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY name")
    .all(table).map((row) => String(row["name"]));
  const values = columns.map((column, at) => `${exactValue(quoteName(column))} AS v${at}`);
  const rows = db.prepare(`SELECT ${values.join()} FROM ${quoteName(table)}`).all();
  return { columns, rows: rows.map((row) => Object.values(row).join(", ")).sort() };
}

/** An expression for the type and the exact value; `quote()` alone ends a text at its first NUL. */
function exactValue(column: string): string {
  return `typeof(${column}) || ' ' ||
    CASE WHEN typeof(${column}) = 'text' AND instr(CAST(${column} AS BLOB), x'00') > 0
         THEN 'x''' || hex(CAST(${column} AS BLOB)) || '''' ELSE quote(${column}) END`;
}

function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
