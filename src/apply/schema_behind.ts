import { HarmonyLiteError } from "../lib/errors.ts";
import type { Schema } from "../schema/followed_tables.ts";

const CHANGE_SCHEMA =
  "Make the same schema change here (ALTER TABLE, CREATE TABLE); replication then goes on by itself. " +
  "It also does when the node that has it gives it up, or is removed for good with its entry in the bucket " +
  `harmonylite-schema-registry ("nats kv del").`;

/** A change needs a table or column that this database does not have yet, or cannot write: its stream waits until then. */
export class SchemaBehindError extends HarmonyLiteError {
  override name = "SchemaBehindError";
  /** That the change is of, by the name that it came under. */
  readonly table: string;
  /** The schema that it does not fit. */
  readonly schema: Schema;

  constructor(table: string, message: string, schema: Schema, hint = CHANGE_SCHEMA) {
    super("schema_mismatch_paused", message, { hint });
    this.table = table;
    this.schema = schema;
  }
}
