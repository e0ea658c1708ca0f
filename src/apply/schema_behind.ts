import { HarmonyLiteError } from "../lib/errors.ts";

/** A change needs a table or column that this database does not have yet: its stream waits until it has. */
export class SchemaBehindError extends HarmonyLiteError {
  override name = "SchemaBehindError";

  constructor(message: string) {
    super("schema_mismatch_paused", message, {
      hint:
        "Make the same schema change here (ALTER TABLE, CREATE TABLE); replication then goes on by itself.",
    });
  }
}
