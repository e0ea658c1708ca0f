import { type CapturedChange, travellingColumns } from "../capture/change_reader.ts";
import { sameBytes } from "../lib/same_bytes.ts";
import { CborWriter } from "../wire/cbor.ts";
import { EventShape, writeEvent } from "../wire/codec.ts";
import { type ChangeEvent, RawText, type SqlValue } from "../wire/event.ts";

/** The values with which a change travels, in the order of its travelling columns. */
function travellingValues(change: CapturedChange): readonly SqlValue[] {
  if (change.type !== "delete") return change.values;
  return travellingColumns(change).map((column) =>
    change.values[change.shape.columns.indexOf(column)] ?? null
  );
}

/** Whether an event says of its row what a captured change says. */
export function sameContent(change: CapturedChange, event: ChangeEvent): boolean {
  if ((change.type === "delete") !== (event.type === "delete")) return false;
  const values = travellingValues(change);
  return values.length === event.values.length &&
    event.values.every((value, at) => sameValue(value, values[at]!));
}

/** Whether a row has the values that an event carries. */
export function hasValues({ columns, values }: ChangeEvent, row: ReadonlyMap<string, SqlValue>): boolean {
  return columns.every((column, at) => sameValue(values[at]!, row.get(column) ?? null));
}

function sameValue(a: SqlValue, b: SqlValue): boolean {
  if (a instanceof Uint8Array) return b instanceof Uint8Array && sameBytes(a, b);
  if (a instanceof RawText) return b instanceof RawText && sameBytes(a.bytes, b.bytes);
  return a === b;
}

/** The content hash that the event of a captured change has. */
export function ownHash(change: CapturedChange): number {
  const shape = new EventShape(change.shape.table, travellingColumns(change), undefined);
  return writeEvent(
    new CborWriter(1024),
    shape,
    1n,
    change.type,
    change.id,
    change.ts,
    travellingValues(change),
  );
}
