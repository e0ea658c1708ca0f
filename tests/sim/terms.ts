import { Random } from "./random.ts";
import { randomSchemaChanges, type SchemaChange } from "./schema_changes.ts";
import { hasDecays, hasRecreations, hasRollbacks, hasSnapshots } from "./steps.ts";
import { canDecay, LEDGER, SIM_TABLES, type SimTable } from "./tables.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const LONG_RETENTION_MS = 30 * DAY_MS;
const SHORT_RETENTION_MS = MINUTE_MS;
/** How far clocks are off: a little, hours, years. */
const SKEWS_MS = [0, 0, -40_000, 40_000, 15_000, -5 * 60 * MINUTE_MS, 900 * DAY_MS, -4000 * DAY_MS];
/** Less than half the time that tombstones are kept for, as anybody's are whose tombstones stay for 30 days. */
const SHORT_SKEWS_MS = [0, 0, -10_000, 10_000, 5_000];

/** What a seed decides once and for all. */
export interface Terms {
  /** Node ids; with a doubled one now and then. */
  readonly ids: readonly bigint[];
  /** A node that does things rarely, by number; undefined: all are as busy. */
  readonly lazy: number | undefined;
  /** The only node that writes to tables in which rows make room for others, by number; undefined: all do. */
  readonly uniqueWriter: number | undefined;
  readonly shards: number;
  readonly tables: readonly SimTable[];
  readonly hasFirstRows: boolean;
  readonly schemaChanges: readonly SchemaChange[];
  readonly versionRetentionMs: number;
  /** Tombstones expire while it runs. */
  readonly expires: boolean;
  /** Rows go from single nodes. */
  readonly decays: boolean;
  /** Snapshots are taken, and streams truncated. */
  readonly hasSnapshots: boolean;
  /** Streams are deleted and created anew. */
  readonly recreates: boolean;
  /** Whether they go back; then transactions may show in pieces until what was lost has come again. */
  readonly rollsBack: boolean;
  /** Batches hold whole transactions. */
  readonly wholeTransactions: boolean;
  readonly maxTransactionRows: number;
}

/** How a node cuts what it sends; perhaps another way after each start. */
export interface Limits {
  readonly maxBatch: number;
  readonly maxMessageBytes: number;
  readonly compress: boolean;
}

export function termsOf(seed: number): Terms {
  const random = new Random(seed);
  const hasUniqueWriter = seed % 4 === 1 && !hasDecays(seed);
  const expires = seed % 3 === 1;
  const decays = hasDecays(seed);
  const chosen = decays ? randomDecaying(random) : randomTables(random, hasUniqueWriter);
  const tables = [...chosen, LEDGER];
  const maxTransactionRows = random.pick([100_000, 100_000, 100_000, 100_000, 4, 9]);
  const ids = randomIds(random, hasUniqueWriter || decays);
  const rollsBack = hasRollbacks(seed);
  const recreates = hasRecreations(seed) || rollsBack;
  // A row that is sent again and completed meanwhile is a new write of whoever completes it: it beats what it never saw.
  const hasSchemaChanges = seed % 3 === 0 && !decays && !recreates;
  return {
    ids,
    lazy: random.chance(0.3) ? 1 + random.below(ids.length) : undefined,
    uniqueWriter: hasUniqueWriter ? 1 : undefined,
    shards: expires ? random.pick([1, 1, 2]) : random.pick([1, 1, 2, 3, 4]),
    tables,
    hasFirstRows: random.chance(0.6),
    schemaChanges: hasSchemaChanges ? randomSchemaChanges(random, chosen) : [],
    versionRetentionMs: expires ? SHORT_RETENTION_MS : LONG_RETENTION_MS,
    expires,
    decays,
    hasSnapshots: hasSnapshots(seed),
    recreates,
    rollsBack,
    wholeTransactions: maxTransactionRows === 100_000,
    maxTransactionRows,
  };
}

/** `before`: of a node that is started again, perhaps with a little more. */
export function randomLimits(random: Random, before?: Limits): Limits {
  if (before && random.chance(0.5)) return { ...before, maxBatch: before.maxBatch + 1 };
  return {
    maxBatch: random.pick([1, 2, 3, 4, 1000]),
    maxMessageBytes: random.pick([60, 400, 100_000, 100_000, 100_000]),
    compress: random.chance(0.3),
  };
}

function randomTables(random: Random, mustHaveUniques: boolean): readonly SimTable[] {
  if (random.chance(0.1)) return SIM_TABLES;
  if (random.chance(0.2)) return [random.pick(SIM_TABLES)];
  const uniques = SIM_TABLES.filter(({ hasUniques }) => hasUniques);
  if (mustHaveUniques && random.chance(0.6)) return [random.pick(uniques)];
  const some = SIM_TABLES.filter(() => random.chance(0.3));
  return some.length > 0 ? some : [random.pick(SIM_TABLES)];
}

/** Few, so that what goes is often written. */
function randomDecaying(random: Random): readonly SimTable[] {
  const tables = SIM_TABLES.filter(canDecay);
  return random.chance(0.3) ? tables : [random.pick(tables)];
}

function randomIds(random: Random, mustDiffer: boolean): bigint[] {
  const count = random.pick([2, 2, 2, 3, 3, 3, 4, 5, 7]);
  const ids = Array.from({ length: count }, (_, at) => BigInt(at + 1));
  if (!mustDiffer && random.chance(0.15)) ids[1] = ids[0]!;
  return ids;
}

export function randomSkewMs(random: Random, { expires }: Terms): number {
  return random.pick(expires ? SHORT_SKEWS_MS : SKEWS_MS);
}

/** For the first line of a trace. */
export function termsText({ ids, tables, schemaChanges, ...others }: Terms): string {
  return JSON.stringify({
    ids: ids.map(Number),
    tables: tables.map(({ name }) => name),
    schemaChanges: schemaChanges.map(({ sql }) => sql),
    ...others,
  });
}

export function limitsText({ maxBatch, maxMessageBytes, compress }: Limits): string {
  return `with at most ${maxBatch} events or ${maxMessageBytes} bytes in a message${
    compress ? ", compressed" : ""
  }`;
}
