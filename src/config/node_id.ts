import { createHash } from "node:crypto";

/**
 * The number of a node whose user chose none: 63 bits, never 0, the same at each start. The path of the database is part
 * of it, so that several nodes on one machine differ.
 */
export function deriveNodeId(machine: string, dbPath: string): bigint {
  const digest = createHash("sha256").update(`${machine}\n${dbPath}`).digest();
  const id = digest.readBigUInt64BE() >> 1n;
  return id === 0n ? 1n : id;
}
