import { Buffer } from "node:buffer";

/** Up to this many bytes a loop beats a call. */
const SHORT_BYTES = 64;

/** Whether two arrays hold the same bytes; fast for those of many megabytes, too. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  return a.length > SHORT_BYTES ? Buffer.compare(a, b) === 0 : a.every((byte, at) => byte === b[at]);
}
