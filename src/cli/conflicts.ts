import { describeRow, type Image, keyOf, listConflicts, type LoggedConflict } from "../apply/conflict_log.ts";
import type { Restored } from "../apply/restoration.ts";
import { restoreConflict } from "../apply/restore.ts";
import { HarmonyLiteError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { ShapeHistory } from "../schema/shape_history.ts";
import { Database } from "../sqlite/database.ts";
import { toSql } from "../sqlite/sql_value.ts";
import { loadChoice } from "./check.ts";
import type { Command } from "./command.ts";
import type { Io } from "./io.ts";

type ConflictsCommand = Extract<Command, { name: "conflicts" }>;

/** Shows what was overridden, or puts one image back. */
export async function conflicts(command: ConflictsCommand, io: Io): Promise<void> {
  return command.action === "list" ? await list(command, io) : await restore(command, io);
}

/** A conflict with the part of its image that is the row's key. */
interface KeyedConflict extends LoggedConflict {
  readonly key: Image;
}

async function list(
  { choice, table, limit, json }: Extract<ConflictsCommand, { action: "list" }>,
  { stdout, signal }: Io,
): Promise<void> {
  const { config } = await loadChoice(choice);
  using database = Database.open(config.dbPath, { readOnly: true });
  const found = await database.look(
    () => withKeys(database, listConflicts(database, { table, limit })),
    signal,
  );
  stdout.write(json ? `${JSON.stringify(found.map(toJson), null, 2)}\n` : render(found, limit));
}

function withKeys(database: Database, logged: readonly LoggedConflict[]): KeyedConflict[] {
  if (logged.length === 0) return [];
  const history = new ShapeHistory(database);
  return logged.map((conflict) => ({ ...conflict, key: keyOf(conflict, history) }));
}

/** Node ids, clocks and values as texts: they may exceed what a number in JSON holds. */
function toJson({ id, createdAt, table, reason, loser, winner, image, key }: KeyedConflict): unknown {
  const writer = (by: LoggedConflict["winner"]): unknown => ({
    node: String(by.node),
    written_at: timeOf(by.ts).toISOString(),
    ts: String(by.ts),
  });
  const values = (image: Image): Record<string, string> =>
    Object.fromEntries([...image].map(([column, value]) => [column, toSql(value)]));
  return {
    id: Number(id),
    at: new Date(createdAt).toISOString(),
    table,
    reason,
    key: values(key),
    row: values(image),
    overridden: loser === undefined ? null : writer(loser),
    winner: writer(winner),
  };
}

function render(found: readonly KeyedConflict[], limit: number): string {
  if (found.length === 0) return "No write was overridden.\n";
  const more = found.length === limit ? ` The newest ${limit}; --limit N shows more.` : "";
  const footer = `\`harmonylite conflicts restore ID\` puts a row back as a new write.${more}\n`;
  return [...found.map(renderOne), footer].join("\n");
}

/**
 *     #12  2026-01-31 12:00:00  notes  id = 5
 *       node 1 wrote this at 2026-01-31 11:59:58.123, node 2 wrote the row later, at 2026-01-31 11:59:59.001
 *       text = 'what was overridden'
 */
function renderOne({ id, createdAt, table, image, key, ...versions }: KeyedConflict): string {
  const head = `#${id}  ${shortTime(new Date(createdAt), 19)}  ${printable(table)}  ${describeRow(key)}`;
  const rest = [...image].filter(([column]) => !key.has(column));
  const lines = [head.trimEnd(), `  ${renderReason(versions)}`];
  if (rest.length > 0) lines.push(`  ${describeRow(rest)}`);
  return `${lines.join("\n")}\n`;
}

function renderReason(
  { reason, loser, winner }: Pick<LoggedConflict, "reason" | "loser" | "winner">,
): string {
  const at = (ts: bigint): string => shortTime(timeOf(ts), 23);
  // A row that was there before replication has no version, and one whose own change is on its way has that of before.
  const wrote = loser === undefined || loser.ts === 0n
    ? "it was there before anything of it was replicated"
    : `node ${loser.node} wrote it at ${at(loser.ts)}`;
  const won = reason === "older"
    ? `node ${winner.node} wrote the row later, at ${at(winner.ts)}`
    : `a row that node ${winner.node} wrote at ${at(winner.ts)} took its UNIQUE value`;
  return `${wrote}; ${won}`;
}

/** Of a hybrid clock, which is near the wall clock of its node or ahead of it. */
function timeOf(ts: bigint): Date {
  return new Date(Number(ts / 1_000_000n));
}

function shortTime(time: Date, length: number): string {
  return time.toISOString().replace("T", " ").slice(0, length);
}

async function restore(
  { choice, id, replace }: Extract<ConflictsCommand, { action: "restore" }>,
  { stdout, signal }: Io,
): Promise<void> {
  const { dbPath, tables: filter, nodeId: node, publish } = (await loadChoice(choice)).config;
  if (!publish) {
    throw new HarmonyLiteError(
      "NOT_PUBLISHED",
      `Cannot put back conflict ${id}: this node has publish = false`,
      {
        hint: "The row would come back here alone. Do it on a node that publishes.",
      },
    );
  }
  using database = Database.open(dbPath);
  const restored = await restoreConflict(database, { id, filter, node, replace, signal });
  stdout.write(renderRestored(restored));
}

function renderRestored({ table, row, outcome, gone, untouched, displaced }: Restored): string {
  const name = `The row ${row} of ${printable(table)}`;
  if (outcome === "unchanged") return `${name} is already as it was; nothing was written.\n`;
  const names = (columns: readonly string[]): string => columns.map(printable).join(", ");
  const lines = [`${name} is back. All nodes get it as a new write of this node.`];
  if (displaced.length > 0) {
    lines.push(`Deleted for it, and among the conflicts now: ${displaced.join("; ")}`);
  }
  if (gone.length > 0) lines.push(`Not put back, as the table has no such columns any more: ${names(gone)}`);
  if (untouched.length > 0) {
    const kept = outcome === "updated" ? "Left as they are" : "Left at their defaults";
    lines.push(`${kept}, as the image does not hold these columns: ${names(untouched)}`);
  }
  return `${lines.join("\n")}\n`;
}
