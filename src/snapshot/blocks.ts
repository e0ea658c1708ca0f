import { release } from "../lib/memory.ts";
import { nextPageRows } from "../lib/page_rows.ts";
import { valueColumn } from "../schema/names.ts";
import type { FollowedTable } from "../schema/followed_tables.ts";
import { ofKind } from "../schema/row_conditions.ts";
import type { Database, Parameter } from "../sqlite/database.ts";
import { exactColumns, ExactValues } from "../sqlite/exact_row.ts";
import { quote } from "../sqlite/identifier.ts";
import { type EncodedKey, encodeKey } from "../verify/key.ts";
import { inRange, type KeyRange } from "../verify/key_range.ts";
import { collated } from "../verify/table_rows.ts";

/** Rows that are compared at a time, at first and at most, and how many bytes of them are aimed at. */
const FIRST_ROWS = 64;
const MAX_ROWS = 1024;
const BLOCK_BYTES = 64 << 10;
/** A row with a larger value is not compared by the block: the rows of one may all have grown, and must fit into memory. */
const MAX_VALUE_BYTES = 64 << 10;
/** What makes a block differ from all others. */
const NEVER_EQUAL = "random()";

/** Some rows that follow each other in order of their key. The range of the last of all has no end. */
export interface Block extends KeyRange {
  /** So many, or fewer in the last. */
  readonly rows: number;
}

interface BlockColumn {
  readonly name: string;
  /** As declared, "" without a type. */
  readonly type: string;
  /** What it is in SQL. */
  readonly sql: string;
}

/** Rows of a table, in SQL. */
export interface BlockSource {
  /** What to select from, with a condition. */
  readonly from: string;
  readonly columns: readonly BlockColumn[];
  /** What identifies a row, in order. */
  readonly key: readonly string[];
}

/** The rows of one kind. */
export function rowSource(table: FollowedTable): BlockSource {
  const ofRow = (name: string): string => `row.${quote(name)}`;
  return {
    from: `${quote(table.name)} AS row WHERE 1${ofKind(table, ofRow)}`,
    columns: table.columns.map(({ name, type }) => ({ name, type, sql: ofRow(name) })),
    key: table.key.map(collated),
  };
}

/** The versions of the rows of one kind, tombstones and marks included. */
export function versionSource(table: FollowedTable): BlockSource {
  const key = table.key.map(({ name }) => valueColumn(name));
  const columns = [...key, "ts", "node", "hash", "deleted"];
  return {
    from: `${quote(table.versionTable)} WHERE 1`,
    columns: columns.map((name) => ({ name, type: "", sql: quote(name) })),
    key: key.map(quote),
  };
}

/**
 * Tells by the block whether two databases hold the same rows, types included. SQLite puts the bytes of a block together and
 * compares them: rows that do not differ never become values here.
 */
export class Blocks {
  readonly #database: Database;
  readonly #exact: ExactValues;
  readonly #source: BlockSource;
  readonly #image: string;
  #rows = FIRST_ROWS;

  constructor(database: Database, source: BlockSource) {
    this.#database = database;
    this.#exact = new ExactValues(database);
    this.#source = source;
    const isUtf8 = database.value("PRAGMA encoding") === "UTF-8";
    this.#image = `concat(${source.columns.map((column) => imageOf(column, isUtf8)).join(", ")})`;
  }

  /** The rows that follow a key, so many as are best compared next. */
  async next(after: EncodedKey | undefined): Promise<Block> {
    const rows = this.#rows;
    const { sql, parameters } = this.#select({ after, upTo: undefined });
    const select = `SELECT ${exactColumns(this.#source.key)} ${sql} LIMIT 1 OFFSET ?`;
    const last = await this.#database.look(() => this.#database.get(select, ...parameters, BigInt(rows - 1)));
    return { after, upTo: last && encodeKey(this.#exact.of(last)), rows };
  }

  /** Whether another database has the rows of a block as this one has them. False where that is not told this way. */
  async areIn(other: Blocks, block: Block): Promise<boolean> {
    if (this.#columns !== other.#columns) return false;
    const bytes = await this.#look(block, (joined) => joined);
    if (!(bytes instanceof Uint8Array)) return false;
    this.#rows = nextPageRows({ rows: block.rows, bytes: bytes.length }, {
      bytes: BLOCK_BYTES,
      most: MAX_ROWS,
    });
    const areEqual = await other.#look(block, (joined) => `${joined} = ?`, bytes) === 1n;
    release(bytes);
    return areEqual;
  }

  /**
   * Something about the bytes of the rows in the range of a block. No more rows are read than the block has: where there are
   * more, one of the first is another.
   */
  #look(
    block: Block,
    about: (joined: string) => string,
    ...values: Parameter[]
  ): Promise<Parameter | undefined> {
    const { sql, parameters } = this.#select(block);
    const joined =
      `(SELECT CAST(group_concat(image, '') AS BLOB) FROM (SELECT ${this.#image} AS image ${sql} LIMIT ?))`;
    return this.#database.look(() =>
      this.#database.value(`SELECT ${about(joined)}`, ...parameters, BigInt(block.rows), ...values)
    );
  }

  get #columns(): string {
    return this.#source.columns.map(({ name }) => name).join("\0");
  }

  #select(range: KeyRange): { sql: string; parameters: Parameter[] } {
    const { from, key } = this.#source;
    const { sql, parameters } = inRange(key, range);
    return { sql: `FROM ${from} AND ${sql} ORDER BY ${key.join(", ")}`, parameters };
  }
}

/**
 * A value as text from which type and value can be told, and where it ends: bytes are preceded by their number. In UTF-16
 * such text would be converted, and bytes that are none would be lost.
 */
function imageOf({ sql, type }: BlockColumn, isUtf8: boolean): string {
  const bytes = isUtf8 ? sql : `hex(CAST(${sql} AS BLOB))`;
  const length = `octet_length(${sql})`;
  return `CASE typeof(${sql}) WHEN 'integer' THEN ${sql} || ',' WHEN 'real' THEN ${
    realImage(sql, type)
  } || ','
    WHEN 'null' THEN 'n' ELSE iif(${length} > ${MAX_VALUE_BYTES}, ${NEVER_EQUAL},
      concat(substr(typeof(${sql}), 1, 1), ${length}, ':', ${bytes})) END`;
}

/** 0.0 and -0.0 have one text. A column for REAL stores no -0.0; elsewhere a zero makes its block differ from all others. */
function realImage(sql: string, type: string): string {
  const isForReal = /real|floa|doub/i.test(type) && !/blob/i.test(type);
  return isForReal ? `quote(${sql})` : `iif(abs(${sql}) = 0, ${NEVER_EQUAL}, quote(${sql}))`;
}
