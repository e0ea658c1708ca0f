/**
 * What the events of one table have in common, encoded once: a bulk load repeats these bytes in every row.
 */

import { CborWriter, MAJOR } from "./cbor.ts";
import { type HashSeed, hashSeed } from "./content_hash.ts";
import type { ChangeType, SqlValue } from "./event.ts";

/** SQLite's own upper limit of columns in a table (SQLITE_MAX_COLUMN can be raised to this). */
export const MAX_COLUMNS = 32_767;

/** A set of columns as a row shows it: a map from name to value, names ascending by code unit. */
export class RowShape {
  readonly columns: readonly string[];
  /** The head of the row: a map of so many columns. */
  readonly head: Uint8Array;
  /** The encoded name of each column. */
  readonly keys: readonly Uint8Array[];

  /** @param columns ascending by code unit, at least one, no name twice */
  constructor(columns: readonly string[]) {
    this.columns = Object.freeze([...columns]);
    this.head = encoded((writer) => writer.writeHead(MAJOR.map, columns.length));
    this.keys = columns.map((name) => encodedText(name));
  }

  /** Appends the row: the only place that decides how its bytes look. */
  write(writer: CborWriter, values: readonly SqlValue[]): void {
    const { keys } = this;
    if (values.length !== keys.length) {
      throw new RangeError(`Cannot encode row: ${values.length} values for ${keys.length} columns`);
    }
    writer.writeEncoded(this.head);
    for (let index = 0; index < keys.length; index++) {
      writer.writeEncoded(keys[index] as Uint8Array);
      writer.writeValue(values[index] as SqlValue);
    }
  }
}

/** A table's name as events show it, and where the content hashes of its changes start. */
export class TableShape {
  readonly name: string;
  readonly encodedName: Uint8Array;
  readonly #upsertSeed: HashSeed;
  readonly #deleteSeed: HashSeed;

  constructor(name: string) {
    this.name = name;
    this.encodedName = encodedText(name);
    this.#upsertSeed = hashSeed(this.encodedName, false);
    this.#deleteSeed = hashSeed(this.encodedName, true);
  }

  /** Inserts and updates count as one kind: after either, the row is what the event says. */
  seedOf(type: ChangeType): HashSeed {
    return type === "delete" ? this.#deleteSeed : this.#upsertSeed;
  }
}

/** A table, columns and a schema hash: what an encoder is given once instead of with every event. */
export class EventShape {
  readonly table: TableShape;
  readonly row: RowShape;
  readonly schemaHash: string | undefined;
  /** From the key of the table name up to the key of the row. */
  readonly beforeRow: Uint8Array;
  /** Key and value of the schema's hash; empty without one. */
  readonly afterRow: Uint8Array;

  /** @param columns in any order, at least one, no name twice */
  constructor(table: string, columns: readonly string[], schemaHash: string | undefined) {
    this.table = new TableShape(table);
    this.row = new RowShape(sortedNames(columns));
    this.schemaHash = schemaHash;
    this.beforeRow = encodedTexts("TableName", table, "Row");
    this.afterRow = schemaHash === undefined ? new Uint8Array(0) : encodedTexts("sh", schemaHash);
  }

  /** Column names ascending by code unit: the order of the values that an encoder is given. */
  get columns(): readonly string[] {
    return this.row.columns;
  }
}

/** JavaScript compares strings by code unit, so plain `sort` is the order of the wire. */
function sortedNames(names: readonly string[]): readonly string[] {
  const sorted = [...names].sort();
  const twice = sorted.find((name, index) => name === sorted[index + 1]);
  if (twice !== undefined) throw new RangeError(`Cannot shape events: column "${twice}" is named twice`);
  if (sorted.length === 0) throw new RangeError("Cannot shape events: a row has at least one column");
  if (sorted.length > MAX_COLUMNS) throw new RangeError(`Cannot shape events: ${sorted.length} columns`);
  return sorted;
}

/** A text as CBOR, head included. */
export function encodedText(text: string): Uint8Array {
  return encoded((writer) => writer.writeText(text));
}

/** Some texts as CBOR, one after the other. */
export function encodedTexts(...texts: string[]): Uint8Array {
  return encoded((writer) => texts.forEach((text) => writer.writeText(text)));
}

function encoded(write: (writer: CborWriter) => void): Uint8Array {
  const writer = new CborWriter(64);
  write(writer);
  return writer.copy();
}
