import { DatabaseSync, type StatementSync } from "node:sqlite";
import { GLOBAL_LOG } from "../../src/schema/names.ts";
import { type Beat, type BeatId, BeatLag, HeartbeatTable } from "./heartbeat.ts";
import type { StageNode } from "./stage.ts";

/** What one node shows at one moment. */
export interface Reading {
  readonly id: number;
  readonly running: boolean;
  readonly rows: number;
  readonly writtenPerSecond: number;
  readonly pending: number;
  readonly appliedPerSecond: number;
  /** Of rows that the other running nodes write; undefined when this node, or all the others, do not run. */
  readonly lagMs: number | undefined;
  /** Changes of other nodes applied in each of the last intervals, oldest first. */
  readonly history: readonly number[];
}

interface Sample {
  readonly at: number;
  readonly written: number;
  readonly applied: number;
}

const RATE_WINDOW_MS = 1_000;
const HISTORY_INTERVAL_MS = 500;
const HISTORY_LENGTH = 60;
/** A beat is left out rather than waited for: this connection shares the terminal's thread. */
const BUSY_TIMEOUT_MS = 200;
const SQLITE_BUSY = 5;

/** Watches one database from outside, through a connection like any application's. */
export class Meter implements Disposable {
  readonly node: StageNode;
  readonly #db: DatabaseSync;
  readonly #heartbeat: HeartbeatTable;
  readonly #counts: StatementSync;
  readonly #logged: StatementSync;
  readonly #dataVersion: StatementSync;
  readonly #lags = new Map<number, BeatLag>();
  /** By node: how many changes of its application are known to be here. */
  readonly #changesHere = new Map<number, number>();
  readonly #samples: Sample[] = [];
  readonly #history: number[] = [];
  #historyAt = 0;
  #historyApplied = 0;
  #beat = 0;
  #version: unknown;

  constructor(node: StageNode, others: readonly number[]) {
    this.node = node;
    this.#db = new DatabaseSync(node.db, { timeout: BUSY_TIMEOUT_MS });
    this.#heartbeat = new HeartbeatTable(this.#db);
    this.#counts = this.#db.prepare(`SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM orders)
      + (SELECT count(*) FROM "audit trail") AS rows, (SELECT count(*) FROM "${GLOBAL_LOG}") AS pending`);
    // Never counts down: the newest row of a change log is left where it is.
    const newest = ["customers", "orders", "audit trail"].map((table) =>
      `coalesce((SELECT max(id) FROM "__harmonylite__${table}_change_log"), 0)`
    );
    this.#logged = this.#db.prepare(`SELECT ${newest.join(" + ")} AS changes`);
    this.#dataVersion = this.#db.prepare("PRAGMA data_version");
    for (const other of others) this.#lags.set(other, new BeatLag());
  }

  /** Number of the last beat that was written here. */
  get beat(): number {
    return this.#beat;
  }

  /** Changes that the application has made: all that were captured but the beats. */
  written(): number {
    return Number(this.#logged.get()?.["changes"]);
  }

  pending(): number {
    return Number(this.#counts.get()?.["pending"]);
  }

  /** Writes a beat; undefined when the database was busy. */
  writeBeat(): Beat | undefined {
    const beat = { node: this.node.id, beat: this.#beat + 1, changes: this.written() };
    try {
      this.#heartbeat.write(beat);
    } catch (error) {
      if (isBusy(error)) return undefined;
      throw error;
    }
    this.#beat++;
    return beat;
  }

  /** Another node's beat is on its way here. */
  expect({ node, beat }: Beat, at: number): void {
    this.#lags.get(node)?.written(beat, at);
  }

  hasSeen({ node, beat }: BeatId): boolean {
    return this.#lags.get(node)?.hasSeen(beat) ?? true;
  }

  /** Looks for beats that have arrived; costs next to nothing when nobody has committed. */
  look(): void {
    const version = this.#dataVersion.get()?.["data_version"];
    if (version === this.#version) return;
    this.#version = version;
    const at = performance.now();
    for (const { node, beat, changes } of this.#heartbeat.read()) {
      this.#lags.get(node)?.seen(beat, at);
      if (this.#lags.has(node)) this.#changesHere.set(node, changes);
    }
  }

  read(running: ReadonlySet<number>): Reading {
    const at = performance.now();
    const { rows, pending } = this.#counts.get() as { rows: number; pending: number };
    const sample = { at, written: this.written(), applied: this.#applied() };
    const { written, applied } = this.#rates(sample);
    this.#remember(sample);
    return {
      id: this.node.id,
      running: !this.node.killed,
      rows,
      pending,
      writtenPerSecond: written,
      appliedPerSecond: applied,
      lagMs: this.#lagMs(running, at),
      history: this.#history,
    };
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #applied(): number {
    return [...this.#changesHere.values()].reduce((sum, changes) => sum + changes, 0);
  }

  #rates(sample: Sample): { written: number; applied: number } {
    this.#samples.push(sample);
    while ((this.#samples[1]?.at ?? Infinity) <= sample.at - RATE_WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0] ?? sample;
    const seconds = Math.max(sample.at - first.at, 1) / 1000;
    return {
      written: (sample.written - first.written) / seconds,
      applied: (sample.applied - first.applied) / seconds,
    };
  }

  #remember({ at, applied }: Sample): void {
    if (at - this.#historyAt < HISTORY_INTERVAL_MS) return;
    if (this.#historyAt > 0) this.#history.push(applied - this.#historyApplied);
    if (this.#history.length > HISTORY_LENGTH) this.#history.shift();
    this.#historyAt = at;
    this.#historyApplied = applied;
  }

  #lagMs(running: ReadonlySet<number>, now: number): number | undefined {
    if (this.node.killed) return undefined;
    const lags = [...this.#lags].filter(([node]) => running.has(node)).map(([, lag]) => lag.lagMs(now));
    return lags.length === 0 ? undefined : Math.max(...lags);
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && (error as { errcode?: number }).errcode === SQLITE_BUSY;
}
