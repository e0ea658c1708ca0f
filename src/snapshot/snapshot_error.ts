import { HarmonyLiteError } from "../lib/errors.ts";

/**
 * A snapshot cannot be used, or must not be kept. Codes: SNAPSHOT_DAMAGED (not the bytes that were put), SNAPSHOT_MISSING,
 * MANIFEST_UNREADABLE, SNAPSHOT_BEHIND (one that is further exists), COPY_UNWRITABLE (the local file), CHANGES_UNSENT.
 */
export class SnapshotError extends HarmonyLiteError {
  override name = "SnapshotError";
}
