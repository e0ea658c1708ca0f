import { Buffer } from "node:buffer";

/**
 * Gives back the memory of a large array at once; it is empty from then on, and so are all views of it. V8 lets some 60 MB of
 * such memory lie about before it looks, as it lies outside of its heap. Small ones may share their memory: Node has a pool.
 */
export function release({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}
