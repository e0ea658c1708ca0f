import type { Position } from "../apply/position.ts";
import { SnapshotError } from "./snapshot_error.ts";

/** What is known of the state that a snapshot holds. */
export interface SnapshotFacts {
  /** When its copy was made, Unix milliseconds by the clock of the node that took it. */
  readonly timeMs: number;
  /** Who took it; undefined when it was put there by hand or by another program. */
  readonly node: bigint | undefined;
  /** How far it has applied the streams. */
  readonly positions: readonly Position[];
  /** Hash of the schema of its replicated tables; undefined as for the node. */
  readonly schema: string | undefined;
}

/** One snapshot that a store holds. */
export interface Generation extends SnapshotFacts {
  /** Its own name in the store; the newest one is called `snapshot.db` instead. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 of its bytes, hex; undefined when nobody has told. */
  readonly sha256: string | undefined;
}

/** The form of the manifest that this program writes. */
const VERSION = 1;

/** The list of generations as it stands in a store, for programs and for people. */
export function renderManifest(generations: readonly Generation[]): string {
  const entries = generations.map(({ name, size, sha256, timeMs, node, schema, positions }) => ({
    name,
    size,
    sha256: sha256 ?? null,
    time: new Date(timeMs).toISOString(),
    node: node === undefined ? null : String(node),
    schema: schema ?? null,
    // Nanoseconds exceed what a number in JSON holds.
    positions: positions.map(({ time, ...position }) => ({ ...position, time: String(time) })),
  }));
  return `${JSON.stringify({ version: VERSION, generations: entries }, null, 2)}\n`;
}

/**
 * Reads what {@link renderManifest} has written. Throws a SnapshotError (MANIFEST_UNREADABLE) when it is anything else: what is
 * not understood must not be replaced, as snapshots would be lost with it.
 *
 * @param place for messages: `"snapshot.json" in folder "/backup"`
 */
export function parseManifest(text: string, place: string): Generation[] {
  try {
    const { version, generations } = JSON.parse(text);
    if (version !== VERSION) throw new Error(`its version is ${version}, this program knows ${VERSION}`);
    return array(generations, "generations").map(readGeneration);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SnapshotError("MANIFEST_UNREADABLE", `Cannot understand ${place}: ${reason}`, {
      cause,
      hint:
        "Nothing was changed. Upgrade this node if a newer one has written it. If it is damaged, remove it: " +
        "then snapshot.db alone counts, and the next snapshot writes a new list.",
    });
  }
}

function readGeneration(entry: Entry): Generation {
  return {
    name: match(entry, "name", /^[A-Za-z0-9][\w.-]*$/),
    size: integer(entry, "size"),
    sha256: entry["sha256"] === null ? undefined : match(entry, "sha256", /^[0-9a-f]{64}$/),
    timeMs: time(entry, "time"),
    node: entry["node"] === null ? undefined : BigInt(match(entry, "node", /^\d{1,19}$/)),
    schema: entry["schema"] === null ? undefined : match(entry, "schema", /^[0-9a-f]+$/),
    positions: array(entry["positions"], "positions").map(readPosition),
  };
}

function readPosition(entry: Entry): Position {
  return {
    stream: match(entry, "stream", /./),
    shard: integer(entry, "shard"),
    created: match(entry, "created", /./),
    sequence: integer(entry, "sequence"),
    time: BigInt(match(entry, "time", /^\d{1,19}$/)),
  };
}

type Entry = Readonly<Record<string, unknown>>;

function array(value: unknown, what: string): Entry[] {
  const isList = Array.isArray(value) && value.every((each) => typeof each === "object" && each !== null);
  if (isList) return value;
  throw new Error(`${what} is not a list of objects`);
}

function match(entry: Entry, key: string, form: RegExp): string {
  const value = entry[key];
  if (typeof value === "string" && form.test(value)) return value;
  throw wrong(entry, key);
}

function integer(entry: Entry, key: string): number {
  const value = entry[key];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw wrong(entry, key);
}

function time(entry: Entry, key: string): number {
  const ms = Date.parse(match(entry, key, /^\d{4}-/));
  if (Number.isNaN(ms)) throw wrong(entry, key);
  return ms;
}

function wrong(entry: Entry, key: string): Error {
  return new Error(`${key} is ${JSON.stringify(entry[key])}`);
}
