import type { DatabaseSync, StatementSync } from "node:sqlite";

/**
 * The demo's own rows, one for each node: which beat it is, and how many changes that node's application had made when
 * it was written. Other nodes see it only after all of those changes, as there is one stream: so a beat tells both the
 * lag and what was applied, and that through replication itself.
 */
export const HEARTBEAT_TABLE_SQL = `CREATE TABLE IF NOT EXISTS heartbeat (
  node INTEGER PRIMARY KEY, beat INTEGER NOT NULL, changes INTEGER NOT NULL);`;

export interface BeatId {
  readonly node: number;
  readonly beat: number;
}

export interface Beat extends BeatId {
  readonly changes: number;
}

export class HeartbeatTable {
  readonly #write: StatementSync;
  readonly #read: StatementSync;

  constructor(db: DatabaseSync) {
    this.#write = db.prepare(`INSERT INTO heartbeat VALUES (?, ?, ?)
      ON CONFLICT (node) DO UPDATE SET beat = excluded.beat, changes = excluded.changes`);
    this.#read = db.prepare("SELECT node, beat, changes FROM heartbeat");
  }

  write({ node, beat, changes }: Beat): void {
    this.#write.run(BigInt(node), BigInt(beat), BigInt(changes));
  }

  read(): Beat[] {
    return this.#read.all().map((row) => ({
      node: Number(row["node"]),
      beat: Number(row["beat"]),
      changes: Number(row["changes"]),
    }));
  }
}

/** When beats were written and seen, for one writer and one place where its rows arrive. */
export class BeatLag {
  /** Beats written and not seen yet, oldest first. */
  readonly #open: { readonly beat: number; readonly at: number }[] = [];
  #lastMs = 0;

  written(beat: number, at: number): void {
    this.#open.push({ beat, at });
  }

  /** A beat that is seen ends the wait for those before it: they are one row, and only the newest may be there to see. */
  seen(beat: number, at: number): void {
    for (let first = this.#open[0]; first !== undefined && first.beat <= beat; first = this.#open[0]) {
      this.#lastMs = at - first.at;
      this.#open.shift();
    }
  }

  /** Whether this beat, and all before it, have arrived. */
  hasSeen(beat: number): boolean {
    const oldest = this.#open[0];
    return oldest === undefined || oldest.beat > beat;
  }

  /** How long the last beat took; longer, when one that is still on its way has taken longer already. */
  lagMs(now: number): number {
    const oldest = this.#open[0];
    return oldest === undefined ? this.#lastMs : Math.max(this.#lastMs, now - oldest.at);
  }
}
