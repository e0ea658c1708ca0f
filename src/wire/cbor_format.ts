/** The numbers of CBOR that writer and reader share. */

/** Major types, the upper three bits of an item's first byte. */
export const MAJOR = {
  unsigned: 0,
  negative: 1,
  bytes: 2,
  text: 3,
  array: 4,
  map: 5,
  tag: 6,
  simple: 7,
} as const;

/** First bytes of the items of the last major type. */
export const FALSE = 0xf4;
export const TRUE = 0xf5;
export const NULL = 0xf6;
export const UNDEFINED = 0xf7;
export const FLOAT16 = 0xf9;
export const FLOAT32 = 0xfa;
export const FLOAT64 = 0xfb;

/** Longest head of an item: one byte and a 64-bit argument. */
export const MAX_HEAD_BYTES = 9;

/**
 * Private tag around a byte string: the bytes of a TEXT that is not valid UTF-8, which CBOR forbids in a text string.
 * It lies in the range from which IANA gives tags to whoever asks first; it need be known to this program only.
 */
export const TAG_RAW_TEXT = 65002;

/** Tag of the Go original around `{1: seconds since 1970 or null}`, which it makes of date and datetime columns. */
export const TAG_GO_TIME = 32;
