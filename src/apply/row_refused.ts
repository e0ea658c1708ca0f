import { HarmonyLiteError } from "../lib/errors.ts";

/** The schema here has no place for a row, though SQLite named no constraint: its message is put aside. */
export class RowRefusedError extends HarmonyLiteError {
  override name = "RowRefusedError";

  constructor(table: string) {
    super("ROW_REFUSED", `a row of table "${table}" was neither inserted nor updated`);
  }
}
