import { decode, encode } from "cbor-x";
import { messageOf } from "../lib/errors.ts";
import { statIfThere } from "../lib/files.ts";

/**
 * `seq-map.cbor`: a CBOR map of stream to the last sequence applied, as the Go original keeps it. The positions that
 * count are in the database; this mirrors them because users are told to delete it when they want a node to recover.
 */
export type SequenceMap = ReadonlyMap<string, number>;

/** Undefined when there is none; throws an Error when it is not what we would have written. */
export function readSequenceMap(path: string): SequenceMap | undefined {
  let bytes: Uint8Array;
  try {
    bytes = Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const decoded: unknown = decodeMap(path, bytes);
  const entries = decoded instanceof Map ? [...decoded] : Object.entries(decoded ?? {});
  return new Map(entries.map(([stream, sequence]) => [String(stream), Number(sequence)]));
}

function decodeMap(path: string, bytes: Uint8Array): unknown {
  try {
    const decoded: unknown = decode(bytes);
    if (typeof decoded === "object" && decoded !== null) return decoded;
  } catch (cause) {
    throw new Error(`Cannot read the sequence map "${path}": ${messageOf(cause)}`, { cause });
  }
  throw new Error(`Cannot read the sequence map "${path}": it holds no map`);
}

/** Crash point: the old file or the new one is there, never half of one. */
export function writeSequenceMap(path: string, sequences: SequenceMap): void {
  const temporary = `${path}.${Deno.pid}.tmp`;
  using file = Deno.openSync(temporary, { create: true, truncate: true, write: true, mode: 0o600 });
  const bytes = encode(new Map(sequences));
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
  file.syncDataSync();
  Deno.renameSync(temporary, path);
}

export function hasSequenceMap(path: string): boolean {
  return statIfThere(path)?.isFile ?? false;
}
