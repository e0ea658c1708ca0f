import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import type { ChangeReader } from "../capture/change_reader.ts";
import { replacedKeys } from "../schema/names.ts";
import { logRow, raiseClock, TICK } from "../capture/trigger_sql.ts";
import { type FollowedTable, type Schema, shapesOf } from "../schema/followed_tables.ts";
import { ExactValues } from "../sqlite/exact_row.ts";
import type { ClusterSchemas } from "../schema/cluster_schemas.ts";
import { type ChangeEvent, RawText, type SqlValue } from "../wire/event.ts";
import { ConflictLog } from "./conflict_log.ts";
import { keyText } from "./key_text.ts";
import type { Overlay, OwnChange } from "./overlay.ts";
import { hasValues, ownHash, sameContent } from "./own_change.ts";
import { type BoundEvent, type EventPlan, Planner, type PlannerOptions } from "./plan.ts";
import { RowRefusedError } from "./row_refused.ts";
import { bindable, deleteByKey, hasKey, keyParameters, wholeRow } from "./row_sql.ts";
import { RowVersions, type StoredVersion, type StreamTime } from "./row_versions.ts";
import type { TableUnwritableError } from "./table_unwritable.ts";
import { TriggerGuard } from "./trigger_guard.ts";
import { compareVersions, type Version } from "./version.ts";

/**
 * What became of an event. `lost`: a newer version by another node was there; `old`: it was folded in before; `foreign`: it
 * was written, and carries our node id, but is none of our changes on their way.
 */
export type Outcome = "written" | "foreign" | "kept" | "lost" | "old";

/** An event with what applying it takes. */
export interface PlannedEvent {
  readonly event: ChangeEvent & { readonly ts: bigint };
  readonly plan: EventPlan;
}

/** What a snapshot says of a row besides what is in it. */
export interface Adopted {
  /** What the streams had decided on; undefined for a row that they never spoke of. */
  readonly version: StoredVersion | undefined;
  /** Whether the snapshot has the row. */
  readonly isThere: boolean;
  /** What becomes of a row that only this node has, and that the streams never spoke of. */
  readonly lone: "keep" | "remove" | "send";
}

export interface FoldOptions extends PlannerOptions {
  readonly overlay: Overlay;
  readonly changes: ChangeReader;
  /** This node's id. */
  readonly node: bigint;
}

/**
 * The state of each row: the fold over its stream, which is the same on every node, with this node's own changes that
 * have not come back laid over it (`DESIGN.md` beside this file). All methods run inside the write transaction of their
 * message: rows, versions and position become visible together or not at all.
 */
export class Fold {
  readonly #database: Database;
  readonly #overlay: Overlay;
  readonly #changes: ChangeReader;
  readonly #exact: ExactValues;
  readonly #node: bigint;
  readonly #planner: Planner;
  readonly #triggers: TriggerGuard;
  readonly #conflicts: ConflictLog;
  readonly #versions: RowVersions;
  readonly #oneShape = new Map<string, boolean>();
  /** Tables whose notes were removed in the transaction at hand. */
  readonly #forgotten = new Set<string>();
  #schema: Schema;

  constructor(options: FoldOptions) {
    this.#database = options.database;
    this.#overlay = options.overlay;
    this.#changes = options.changes;
    this.#exact = new ExactValues(options.database);
    this.#node = options.node;
    this.#schema = options.schema;
    this.#planner = new Planner(options);
    this.#triggers = new TriggerGuard(options.database, options.schema);
    this.#conflicts = new ConflictLog(options.database);
    this.#versions = new RowVersions(options.database);
  }

  /** See {@link Planner.use}. */
  use(schema: Schema, cluster: ClusterSchemas | undefined): void {
    this.#planner.use(schema, cluster);
    if (schema === this.#schema) return;
    this.#schema = schema;
    this.#triggers.use(schema);
    this.#versions.reset();
    this.#oneShape.clear();
    this.#overlay.reload();
  }

  /** The tables that this program's SQLite cannot write: their events throw the same when they are applied. */
  unwritable(): TableUnwritableError[] {
    return this.#planner.unwritable();
  }

  /** To be called at the beginning of each transaction, and when part of one was undone. */
  begin(): void {
    this.#overlay.begin();
    this.#changes.forget();
    this.#forgotten.clear();
    this.#conflicts.begin();
  }

  /** Judges an event and finds what applying it takes, without touching the database; see {@link Planner.find}. */
  plan(event: ChangeEvent & { readonly ts: bigint }): PlannedEvent | undefined {
    const plan = this.#planner.find(event);
    return plan && { event, plan };
  }

  /** Says which events come next: what our change log has of them is read together. */
  expect(events: readonly ChangeEvent[]): void {
    const own = events.filter(({ node }) => node === this.#node);
    const byTable = Map.groupBy(own, ({ table }) => table);
    this.#changes.expect(new Map([...byTable].map(([table, of]) => [table, of.map(({ id }) => id)])));
  }

  apply({ event, plan }: PlannedEvent, time: StreamTime): Outcome {
    const { table } = plan;
    const key = plan.keyValues(event);
    if (table.uniques.length > 0) this.#forgetNotes(table);
    const isOwn = this.#isOwn(table, event);
    if (isOwn) this.#overlay.settle(table, () => keyText(table.key, key), event.id);
    if (!this.#versions.accept(table, key, event, time)) return this.#decline(table, key, event);
    if (isOwn && this.#stands(table, event, time)) return "kept";
    const bound = plan.bind(event);
    const newest = this.#overlay.isEmpty(table)
      ? undefined
      : this.#overlay.newest(table, keyText(table.key, key));
    // What has just come back may still be listed.
    const own = isOwn && newest?.id === event.id ? undefined : newest;
    if (own && this.#isNewer(table, own, versionOf(event))) {
      // Our change was made before the event came here, so only this node knows that it was made without seeing it.
      if (!this.#isSame(table, own, event)) this.#recordLost(table, event, { ts: own.ts, node: this.#node });
      // What the event displaces goes all the same, as it does on every other node.
      if (event.type !== "delete") this.#displace(event, bound, true);
      this.#complete(plan, key, own, event);
      return "kept";
    }
    if (event.type === "delete") this.#remove(table, bound);
    else this.#write(plan, key, event, bound, isOwn || own !== undefined);
    const isForeign = event.node === this.#node && !isOwn && !(own && this.#isSame(table, own, event));
    return isForeign ? "foreign" : "written";
  }

  /**
   * Writes a row as another node has it, which is known to hold: as if its event had come, except that its version may be
   * the stored one, and that a clock of 0 stands for a row without a version. False when that row has gone on here.
   */
  repair({ event, plan }: PlannedEvent, time: StreamTime): boolean {
    const { table } = plan;
    const key = plan.keyValues(event);
    if (this.#overlay.newest(table, keyText(table.key, key))) return false;
    const stored = this.#versions.get(table, key);
    if (stored && compareVersions(stored, { ...versionOf(event), hash: stored.hash }) > 0) return false;
    if (table.uniques.length > 0) this.#forgetNotes(table);
    if (event.ts > 0n) this.#versions.accept(table, key, event, time);
    const bound = plan.bind(event);
    if (event.type === "delete") this.#remove(table, bound);
    else this.#write(plan, key, event, bound, false);
    return true;
  }

  /**
   * Takes a row over as a snapshot has it, or as gone when `event` is a delete. The stored version becomes the snapshot's;
   * but a newer own change that is on its way keeps its row (DESIGN section 6, the merge).
   */
  adopt({ event, plan }: PlannedEvent, { version, lone, isThere }: Adopted): void {
    const { table } = plan;
    const key = plan.keyValues(event);
    if (table.uniques.length > 0) this.#forgetNotes(table);
    const stored = this.#versions.get(table, key);
    const own = this.#overlay.newest(table, keyText(table.key, key));
    this.#versions.set(table, key, version);
    if (own && (!version || this.#isNewer(table, own, version))) {
      return this.#complete(plan, key, own, event);
    }
    if (!version && !stored && !isThere) {
      if (lone === "keep") return;
      if (lone === "send") return this.#relog(table, key, 0n);
    }
    const bound = plan.bind(event);
    if (!stored) this.#keepImage(table, key, event);
    if (event.type === "delete") this.#remove(table, bound);
    else this.#write(plan, key, event, bound, own !== undefined);
  }

  /** A row that the streams never spoke of, and that goes now. */
  #keepImage(table: FollowedTable, key: readonly SqlValue[], event: ChangeEvent): void {
    const sql = `SELECT ${wholeRow(table)} FROM ${quote(table.name)} AS row WHERE ${
      hasKey(table, keyParameters(key))
    }`;
    const row = this.#database.get(sql, ...key.map(bindable));
    if (!row) return;
    const image = new Map(this.#exact.of(row).map((value, at) => [table.columns[at]!.name, value]));
    if (event.type !== "delete" && hasValues(event, image)) return;
    this.#conflicts.record({
      table: table.name,
      reason: "older",
      image,
      loser: undefined,
      winner: versionOf(event),
    });
  }

  /** What OR IGNORE left behind: no row that goes here may be taken for one that a REPLACE of the application removed. */
  #forgetNotes({ name }: FollowedTable): void {
    if (this.#forgotten.has(name)) return;
    this.#forgotten.add(name);
    this.#database.run(`DELETE FROM ${quote(replacedKeys(name))}`);
  }

  /**
   * Whether an event is one of our own changes on its way, which has come back now: the same version is found there, not
   * just our node id. Its id is only where to look; an older copy of this database may have used id and clock as well.
   */
  #isOwn(table: FollowedTable, event: ChangeEvent): boolean {
    if (event.node !== this.#node) return false;
    return this.#isSame(table, { id: event.id, ts: event.ts! }, event);
  }

  /** Whether an event is the very change that our change log has under an id, whoever sent it. */
  #isSame(table: FollowedTable, { id, ts }: OwnChange, event: ChangeEvent): boolean {
    if (ts !== event.ts) return false;
    const change = this.#changes.one(table.name, id);
    return change !== undefined && change.ts === ts && sameContent(change, event);
  }

  /**
   * Whether the row of an own change that was accepted is as it was captured, or newer. Only a row that takes its UNIQUE
   * value can have touched it, an event that was completed from it, or a newer delete whose tombstone has expired since.
   */
  #stands(table: FollowedTable, event: ChangeEvent, { highest, expired }: StreamTime): boolean {
    const age = highest > event.ts! ? highest - event.ts! : event.ts! - highest;
    return age < (highest - expired) / 2n && table.uniques.length === 0 && this.#hadOneShape(table);
  }

  /** The event lost against the stored version, or is that version. Its image is kept if another node's change won. */
  #decline(table: FollowedTable, key: SqlValue[], event: ChangeEvent): Outcome {
    const loser = versionOf(event);
    const winner = this.#versions.get(table, key)!;
    if (compareVersions(loser, winner) === 0) return "old";
    if (winner.node === loser.node) return "old";
    // The very change, sent under two ids: a database was copied with what was pending in it.
    if (winner.ts === loser.ts && winner.hash === loser.hash) return "old";
    this.#recordLost(table, event, winner);
    return "lost";
  }

  /** The event lost against a change whose writer had not seen it. A delete has nothing that could be put back. */
  #recordLost(table: FollowedTable, event: ChangeEvent, winner: Pick<Version, "ts" | "node">): void {
    if (event.type === "delete" || event.node === winner.node) return;
    const image = new Map(event.columns.map((column, at) => [column, event.values[at] ?? null]));
    this.#conflicts.record({ table: table.name, reason: "older", image, loser: versionOf(event), winner });
  }

  /** Whether an own change on its way is above a version of its row; it may be another node's that is sent again. */
  #isNewer(table: FollowedTable, own: OwnChange, version: Version): boolean {
    if (own.ts !== version.ts) return own.ts > version.ts;
    const change = this.#changes.aside(table.name, own.id);
    if (!change) return false;
    const { ts, node = this.#node } = change;
    return compareVersions({ ts, node, hash: ownHash(change) }, version) > 0;
  }

  /**
   * `isLocal`: this node has changed the row. Then columns that the event lacks may hold here what no other node has: the
   * application wrote them before our triggers knew them, or with a change that has just lost.
   */
  #write(plan: EventPlan, key: SqlValue[], event: ChangeEvent, bound: BoundEvent, isLocal: boolean): void {
    this.#displace(event, bound, false);
    bound.statements.vacate?.run(bound.values);
    if (!put(plan.table, event, bound)) throw new RowRefusedError(plan.table.name);
    if (isLocal && plan.missing.length > 0) this.#relog(plan.table, key, event.ts!);
  }

  #remove({ name }: FollowedTable, { values, statements }: BoundEvent): void {
    this.#triggers.deleting(name, () => statements.remove.run(values));
  }

  /**
   * Removes the rows of other keys that hold a UNIQUE value of the event. Each keeps its version, so that all nodes go on
   * alike, and one that the streams never spoke of gets a mark. `spareNewer`: the event's own row stays as our newer change
   * left it, and so do rows whose own change is on its way and newer than their version.
   */
  #displace(event: ChangeEvent, { values, statements }: BoundEvent, spareNewer: boolean): void {
    for (const { table, row } of statements.clashes.of(values)) {
      const image = new Map(this.#exact.of(row).map((value, at) => [table.columns[at]!.name, value]));
      const key = table.key.map(({ name }) => image.get(name)!);
      const loser = this.#versions.get(table, key);
      if (spareNewer && this.#isOnItsWayAbove(table, key, loser)) continue;
      this.#conflicts.record({
        table: table.name,
        reason: "displaced",
        image,
        loser,
        winner: versionOf(event),
      });
      const parameters = key.map(bindable);
      const remove = deleteByKey(table, keyParameters(key));
      this.#triggers.deleting(table.name, () => this.#database.run(remove, ...parameters));
      this.#versions.mark(table, key);
    }
  }

  #isOnItsWayAbove(table: FollowedTable, key: SqlValue[], stored: Version | undefined): boolean {
    const own = this.#overlay.newest(table, keyText(table.key, key));
    if (!own) return false;
    return !stored || this.#isNewer(table, own, stored);
  }

  /**
   * While schemas differ, our change or the event may lack columns that the other has. Then the row is completed from the
   * event and logged as a new change in full, or nodes would end with different values there.
   */
  #complete(plan: EventPlan, key: SqlValue[], own: OwnChange, event: ChangeEvent): void {
    const { table } = plan;
    if (plan.missing.length === 0 && this.#hadOneShape(table)) return;
    const change = this.#changes.aside(table.name, own.id);
    if (!change || change.type === "delete") return;
    const lacking = table.columns.filter(({ name }) => !change.shape.columns.includes(name));
    if (lacking.length === 0 && (event.type === "delete" || plan.missing.length === 0)) return;
    for (const { name } of event.type === "delete" ? [] : lacking) {
      const at = event.columns.indexOf(name);
      if (at >= 0) this.#setColumn(table, key, name, event.values[at] ?? null);
    }
    this.#relog(table, key, event.ts!);
  }

  /** Whether a table never had other columns than now, so that no change of it can lack any. */
  #hadOneShape({ name, rowid }: FollowedTable): boolean {
    let hadOne = this.#oneShape.get(name);
    if (hadOne === undefined) {
      const columns = shapesOf(this.#schema, name).map((shape) =>
        shape.columns.filter((each) => each !== rowid)
      );
      hadOne = new Set(columns.map((each) => JSON.stringify(each))).size === 1;
      this.#oneShape.set(name, hadOne);
    }
    return hadOne;
  }

  /** A UNIQUE value that another row holds here stays with that row: the change that is logged then says so to all nodes. */
  #setColumn(table: FollowedTable, key: SqlValue[], column: string, value: SqlValue): void {
    const parameter = value instanceof RawText ? "CAST(? AS TEXT)" : "?";
    this.#database.run(
      `UPDATE OR IGNORE ${quote(table.name)} AS row SET ${quote(column)} = ${parameter} WHERE ${
        hasKey(table, keyParameters(key))
      }`,
      bindable(value),
      ...key.map(bindable),
    );
  }

  /** Logs a row as it stands now as a new change of this node. */
  #relog(table: FollowedTable, key: SqlValue[], above: bigint): void {
    const [change, enter] = logRow(table, "update", hasKey(table, keyParameters(key)));
    // Above the event that it completes, whose clock the transaction takes over only at its end.
    raiseClock(this.#database, above);
    this.#database.run(TICK);
    this.#database.run(change!, ...key.map(bindable));
    this.#database.run(enter!);
    this.#overlay.begin();
  }
}

/** Writes a row, as new or over the one that has its key; false when there is neither room for it nor such a row. */
function put(table: FollowedTable, event: ChangeEvent, { values, statements }: BoundEvent): boolean {
  const { insert, update } = statements;
  // Whichever is likelier to hit goes first. A row that is all key needs no update, if there is one.
  if (event.type === "insert" && !table.keyIsRowid) {
    return insert.run(values) > 0 || update === undefined || update.run(values) > 0;
  }
  return (update !== undefined && update.run(values) > 0) || insert.run(values) > 0 || update === undefined;
}

function versionOf(event: ChangeEvent): Version {
  return { ts: event.ts!, node: event.node, hash: event.hash };
}
