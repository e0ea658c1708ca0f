/**
 * Watches rows arrive in a database, as another application of that node would see them.
 * A process of its own; the order is a JSON text, its only argument, and its last line of output is the report.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { pause, SharedClock } from "./clock.ts";

export interface ReaderOrder {
  readonly db: string;
  readonly firstId: number;
  readonly rows: number;
  /** Pause between two looks. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** "each": note when each row was first seen; rows must come in order of id. "all": wait until all are there. */
  readonly mode: "each" | "all";
  /** Where the time of each row goes, as 64-bit floats, 0 for a row that was not seen; "" for nowhere. */
  readonly timesFile: string;
}

export interface ReaderReport {
  readonly arrived: number;
  /** When the last row was seen; shared clock, ms. */
  readonly completedAt: number;
  /** In mode "all": how often some rows were there and others not. */
  readonly halfSeen: number;
}

const BUSY_TIMEOUT_MS = 30_000;

class Reader {
  readonly #order: ReaderOrder;
  readonly #clock = new SharedClock();
  readonly #progress: StatementSync;
  readonly #seen: Float64Array;
  #arrived = 0;
  #halfSeen = 0;
  #completedAt = 0;

  constructor(order: ReaderOrder) {
    this.#order = order;
    const db = new DatabaseSync(order.db, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    const progress = order.mode === "each" ? `max(id) - ${order.firstId - 1}` : "count(*)";
    this.#progress = db.prepare(`SELECT ${progress} AS arrived FROM t WHERE id >= ?`);
    this.#seen = new Float64Array(order.mode === "each" ? order.rows : 0);
  }

  run(): ReaderReport {
    const { rows, intervalMs, timeoutMs } = this.#order;
    const deadline = this.#clock.now() + timeoutMs;
    while (this.#arrived < rows && this.#clock.now() < deadline) {
      if (!this.#look()) pause(intervalMs);
    }
    return { arrived: this.#arrived, completedAt: this.#completedAt, halfSeen: this.#halfSeen };
  }

  writeTimes(): void {
    if (this.#order.timesFile === "") return;
    Deno.writeFileSync(this.#order.timesFile, new Uint8Array(this.#seen.buffer));
  }

  /** Whether all is there. */
  #look(): boolean {
    const arrived = Number(this.#progress.get(this.#order.firstId)?.["arrived"] ?? 0);
    const now = this.#clock.now();
    if (arrived === this.#arrived) return false;
    if (this.#order.mode === "each") this.#seen.fill(now, this.#arrived, arrived);
    else if (arrived < this.#order.rows) this.#halfSeen++;
    this.#arrived = arrived;
    this.#completedAt = now;
    return arrived >= this.#order.rows;
  }
}

if (import.meta.main) {
  const reader = new Reader(JSON.parse(Deno.args[0] ?? "") as ReaderOrder);
  console.log("reading");
  const report = reader.run();
  reader.writeTimes();
  console.log(JSON.stringify(report));
}
