/** Smaller arrays are left to the garbage collector; Node's may share their memory with others. */
const MIN_BYTES = 64 << 10;

/**
 * Gives back the memory of an array at once; it is empty from then on, and so are all views of it. V8 lets some 60 MB of such
 * memory lie about before it looks, as it lies outside of its heap.
 */
export function release({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= MIN_BYTES) buffer.transfer(0);
}
