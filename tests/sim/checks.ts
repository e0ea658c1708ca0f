import { ON_ITS_WAY } from "../../src/apply/overlay.ts";
import { changeLog, GLOBAL_LOG } from "../../src/schema/names.ts";
import { quote } from "../../src/sqlite/identifier.ts";
import { compareDatabases } from "../support/database.ts";
import type { LoggedWrite } from "./sim_application.ts";
import type { SimWorld, Site } from "./sim_world.ts";
import { LEDGER, ofLog, sameKeyText, SIM_TABLES, type SimTable, versionsOf } from "./tables.ts";

/** What must never happen, did. */
export class Violation extends Error {
  override name = "Violation";
}

/** Clock and node of a write, in the order in which writes beat each other. */
type Stamp = readonly [ts: bigint, node: bigint];

/** Rows written in one transaction to one shard, by their `x`. */
type Group = readonly string[];

function isAbove(a: Stamp, b: Stamp): boolean {
  return a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);
}

/** Knows every write there ever was, and holds what the nodes show against it. */
export class Checks {
  readonly #tables: readonly SimTable[];
  readonly #stamps = new Map<string, Stamp>();
  readonly #ledger = new Map<string, string>();
  readonly #groups: Group[] = [];

  constructor(tables: readonly string[]) {
    this.#tables = [...SIM_TABLES.filter(({ name }) => tables.includes(name)), LEDGER];
  }

  noteWrites(site: Site, writes: readonly LoggedWrite[]): void {
    for (const { table, key, type, ts, x, over } of writes) {
      const stamp: Stamp = [ts, BigInt(site.number)];
      const seen = over === null ? undefined : this.#stamps.get(over);
      if (seen && !isAbove(stamp, seen)) {
        throw new Violation(
          `CLOCK: node ${site.number} writes ${table} (${key}) below ${over}, which it has seen`,
        );
      }
      // A row that is completed while schemas differ is logged anew, perhaps by several nodes.
      const stands = x === null || type === "delete" || isAbove(this.#stamps.get(x) ?? [0n, 0n], stamp);
      if (!stands) this.#stamps.set(x, stamp);
    }
  }

  noteLedger(rows: readonly { readonly table: string; readonly x: string }[]): void {
    for (const { table, x } of rows) this.#ledger.set(x.slice(1, -1), table);
  }

  noteGroup(group: Group): void {
    if (group.length > 1) this.#groups.push(group);
  }

  /** No row that this node has written and that is still on its way shows anything older; no transaction shows by half. */
  afterApplying(site: Site): void {
    for (const table of this.#tables) this.#checkFlicker(site, table);
    const shown = this.#shownLedger(site);
    for (const group of this.#groups) {
      const count = group.filter((x) => shown.has(x)).length;
      if (count > 0 && count < group.length) {
        throw new Violation(`ATOMIC: node ${site.number} shows ${count} of ${group}`);
      }
    }
  }

  #checkFlicker(site: Site, table: SimTable): void {
    const { application, number } = site;
    const key = sameKeyText(table, ofLog);
    const own = application.all(
      `SELECT ${key}, ts, type FROM ${quote(changeLog(table.name))} AS log WHERE ${ON_ITS_WAY} ORDER BY id`,
    ) as [string, bigint, string][];
    if (own.length === 0) return;
    const stored = new Map(
      (application.all(`SELECT ${key}, ts, node FROM ${versionsOf(table)}`) as [
        string,
        bigint,
        bigint,
      ][])
        .map(([text, ts, node]) => [text, [ts, node] as Stamp]),
    );
    const image = application.image(table);
    for (const [text, [, ts, type]] of new Map(own.map((change) => [change[0], change]))) {
      const stamp: Stamp = [ts, BigInt(number)];
      const fold = stored.get(text);
      if (fold && !isAbove(stamp, fold)) continue;
      const row = image.get(text);
      const shown = row ? this.#stamps.get(row.x ?? "") ?? [0n, 0n] as Stamp : undefined;
      const where = `node ${number}, ${table.name} (${text})`;
      if (shown && isAbove(stamp, shown)) {
        throw new Violation(`FLICKER: ${where} shows ${row!.x} over its own change`);
      }
      if (!shown && type !== "delete" && !table.hasUniques) throw new Violation(`VANISHED: ${where}`);
    }
  }

  #shownLedger({ application }: Site): Set<string> {
    return new Set(application.column("SELECT x FROM ledger UNION ALL SELECT x FROM uniq WHERE id >= 100"));
  }

  /** All nodes have read everything and sent everything. */
  atTheEnd(world: SimWorld): void {
    const { members, reference } = world;
    for (const site of members) this.#checkNothingWaits(site);
    const paths = [reference, ...members].map(({ node }) => node.options.path);
    const [difference] = compareDatabases(paths);
    if (difference) throw new Violation(`DIVERGED: ${difference.text}`);
    for (const site of members) this.#checkVersions(site, reference, world.terms.expires);
    const shown = this.#shownLedger(reference);
    for (const x of this.#ledger.keys()) {
      if (!shown.has(x)) throw new Violation(`LOST: ledger row ${x}`);
    }
  }

  #checkNothingWaits({ application, number }: Site): void {
    if (application.all(`SELECT 1 FROM ${quote(GLOBAL_LOG)}`).length > 0) {
      throw new Violation(`UNSENT: node ${number} has changes in its global log`);
    }
    for (const { name } of this.#tables) {
      const waiting = application.all(`SELECT id FROM ${quote(changeLog(name))} AS log WHERE ${ON_ITS_WAY}`);
      if (waiting.length > 0) throw new Violation(`WAITS: node ${number}, ${name} ${waiting.join()}`);
    }
  }

  #checkVersions(site: Site, reference: Site, expires: boolean): void {
    for (const table of this.#tables) {
      const { name } = table;
      // A tombstone that counts as absent may have been removed or not.
      const which = expires ? "WHERE deleted = 0" : "";
      const sql = `SELECT ${sameKeyText(table, ofLog)}, ts, node, hash, deleted FROM ${
        versionsOf(table)
      } ${which} ORDER BY 1`;
      const [theirs, ours] = [site, reference].map(({ application }) => application.all(sql).map(String));
      const index = theirs!.findIndex((row, at) => row !== ours![at]);
      if (theirs!.length === ours!.length && index < 0) continue;
      throw new Violation(`VERSIONS: node ${site.number}, ${name}: ${theirs}, the stream says ${ours}`);
    }
  }
}
