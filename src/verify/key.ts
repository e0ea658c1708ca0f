import { CborReader, CborWriter } from "../wire/cbor.ts";
import type { SqlValue } from "../wire/event.ts";

/** A key as it travels between nodes: its values one after the other, as in an event. */
export type EncodedKey = Uint8Array;

export function encodeKey(values: readonly SqlValue[]): EncodedKey {
  const writer = new CborWriter(64);
  for (const value of values) writer.writeValue(value);
  return writer.copy();
}

/** Throws a WireError for anything but {@link encodeKey}'s result. */
export function decodeKey(key: EncodedKey): SqlValue[] {
  const reader = new CborReader(key);
  const values: SqlValue[] = [];
  while (!reader.atEnd) values.push(reader.readValue());
  return values;
}
