import { type CapturedChange, travellingColumns } from "../capture/change_reader.ts";
import type { Schema } from "../schema/followed_tables.ts";
import type { BatchWriter } from "../wire/batch.ts";
import { EventShape } from "../wire/codec.ts";
import type { SqlValue } from "../wire/event.ts";
import { shardOf, shardOfTable } from "../wire/shard.ts";

/** What the changes of one table shape and kind have in common. */
interface Form {
  readonly event: EventShape;
  /** Where the values that travel are among those captured; undefined when all travel as they are. */
  readonly pick: readonly number[] | undefined;
  /** Where the key columns are among those captured, by name of column: the order that the shard hash wants. */
  readonly keyAt: readonly number[];
  readonly keyNames: readonly string[];
  readonly oneShard: boolean;
}

/** Turns captured changes into events, and says to which shard each belongs. */
export class ChangeEncoder {
  readonly #schema: Schema;
  readonly #shards: number;
  readonly #forms = new Map<string, Form>();

  /** `shards`: how many this node publishes to. */
  constructor(schema: Schema, shards: number) {
    this.#schema = schema;
    this.#shards = shards;
  }

  get schema(): Schema {
    return this.#schema;
  }

  shardOf(change: CapturedChange): number {
    if (this.#shards === 1) return 1;
    const { keyAt, keyNames, oneShard } = this.#form(change);
    const { table } = change.shape;
    if (oneShard) return shardOfTable(table, this.#shards);
    return shardOf(table, keyNames, keyAt.map((at) => change.values[at] ?? null), this.#shards);
  }

  /** Adds a change to a batch. */
  encode(change: CapturedChange, batch: BatchWriter): void {
    const { event, pick } = this.#form(change);
    const values = pick ? pick.map((at): SqlValue => change.values[at] ?? null) : change.values;
    batch.add(event, change.type, change.id, change.ts, values, change.node);
  }

  #form(change: CapturedChange): Form {
    const { shape } = change;
    const isDelete = change.type === "delete";
    const id = `${shape.id}${isDelete ? "-" : "+"}`;
    let form = this.#forms.get(id);
    if (!form) {
      const keyNames = [...shape.key].sort();
      const columns = travellingColumns(change);
      const at = (column: string): number => shape.columns.indexOf(column);
      form = {
        event: new EventShape(shape.table, columns, this.#schema.hash),
        pick: isDelete ? columns.map(at) : undefined,
        keyAt: keyNames.map(at),
        keyNames,
        oneShard: this.#schema.tables.get(shape.table)?.oneShard ?? false,
      };
      this.#forms.set(id, form);
    }
    return form;
  }
}
