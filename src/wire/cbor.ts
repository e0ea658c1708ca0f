/**
 * The part of CBOR (RFC 8949) that events are made of, written by hand.
 *
 * A library will not do: JavaScript writes REAL 1.0 and INTEGER 1 as one number, and libraries (cbor-x among them)
 * turn both into the integer 1, while SQLite tells them apart and so must we. Here the JavaScript type decides:
 * `bigint` is INTEGER, `number` is REAL.
 */

export * from "./cbor_format.ts";
export * from "./cbor_reader.ts";
export * from "./cbor_writer.ts";
