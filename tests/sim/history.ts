import type { LoggedWrite } from "./sim_application.ts";
import { Violation } from "./violation.ts";

/** Clock and node of a write, in the order in which writes beat each other. */
export type Stamp = readonly [ts: bigint, node: bigint];

export const NEVER: Stamp = [0n, 0n];

export function isAbove(a: Stamp, b: Stamp): boolean {
  return a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);
}

/** A write of one key, by any node. */
interface KeyWrite {
  readonly stamp: Stamp;
  /** `x` of the row; undefined for a delete. */
  readonly x: string | undefined;
  /** False when it went with its machine before anybody was known to have it. */
  isCertain: boolean;
}

/** The first and the last time that a value of `x` was written: a row completed while schemas differ is logged anew. */
interface Written {
  lowest: Stamp;
  highest: Stamp;
}

/** Rows written in one transaction to one shard, by their `x`. */
export type Group = readonly string[];

/** Every write there ever was, and by whom: what the promises are about. */
export class History {
  readonly #written = new Map<string, Written>();
  readonly #keys = new Map<string, KeyWrite[]>();
  readonly #ledger = new Set<string>();
  #groups: Group[] = [];

  /** The writes of a node that must come to all; those that it sends again are known. */
  note(own: bigint, writes: readonly LoggedWrite[]): void {
    for (const { table, key, type, ts, node = own, x, over } of writes) {
      const stamp: Stamp = [ts, node];
      const seen = over === null ? undefined : this.#written.get(over);
      if (seen && !isAbove(stamp, seen.lowest)) {
        throw new Violation(`CLOCK: node ${node} writes ${table} (${key}) below ${over}, which it has seen`);
      }
      const isDelete = type === "delete";
      this.#writesOf(table, key).push({ stamp, x: isDelete ? undefined : x ?? "", isCertain: true });
      if (x !== null && !isDelete) this.#noteWritten(x, stamp);
    }
  }

  #noteWritten(x: string, stamp: Stamp): void {
    const written = this.#written.get(x);
    if (!written) this.#written.set(x, { lowest: stamp, highest: stamp });
    else if (isAbove(stamp, written.highest)) written.highest = stamp;
    else if (isAbove(written.lowest, stamp)) written.lowest = stamp;
  }

  /** Writes that died with their machine: they may have come to others, or not. */
  forget(node: bigint, writes: readonly LoggedWrite[]): void {
    for (const { table, key, ts, x } of writes) {
      for (const write of this.#writesOf(table, key)) {
        if (write.stamp[0] === ts && write.stamp[1] === node) write.isCertain = false;
      }
      if (x === null) continue;
      this.#ledger.delete(x);
      this.#groups = this.#groups.filter((group) => !group.includes(x));
    }
  }

  /** Rows that nobody else ever touches. */
  noteLedger(rows: readonly string[]): void {
    for (const x of rows) this.#ledger.add(x);
  }

  noteGroup(group: Group): void {
    if (group.length > 1) this.#groups.push(group);
  }

  get ledger(): ReadonlySet<string> {
    return this.#ledger;
  }

  get groups(): readonly Group[] {
    return this.#groups;
  }

  /** The first write of a value of `x`; for a row that was there before replication, never. */
  lowest(x: string | null): Stamp {
    return this.#written.get(x ?? "")?.lowest ?? NEVER;
  }

  highest(x: string | null): Stamp {
    return this.#written.get(x ?? "")?.highest ?? NEVER;
  }

  /** Keys of a table that were ever written. */
  keysOf(table: string): string[] {
    const prefix = `${table} `;
    return [...this.#keys.keys()].filter((id) => id.startsWith(prefix)).map((id) => id.slice(prefix.length));
  }

  /** Whether `x` (undefined: no row) may be what the last of all writes of a key has left. */
  mayBeLast(table: string, key: string, x: string | undefined): boolean {
    const writes = this.#writesOf(table, key);
    const certain = writes.filter(({ isCertain }) => isCertain);
    if (certain.length === 0) return true;
    const last = certain.reduce((highest, { stamp }) => isAbove(stamp, highest) ? stamp : highest, NEVER);
    return writes.some((write) => write.x === x && !isAbove(last, write.stamp));
  }

  #writesOf(table: string, key: string): KeyWrite[] {
    const id = `${table} ${key}`;
    let writes = this.#keys.get(id);
    if (!writes) this.#keys.set(id, writes = []);
    return writes;
  }
}

/** What tells a captured change apart from all others of its node. */
export function identity({ table, key, type, ts, x }: LoggedWrite): string {
  return JSON.stringify([table, key, type, String(ts), x]);
}
