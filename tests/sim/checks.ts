import { ON_ITS_WAY } from "../../src/apply/overlay.ts";
import { changeLog, GLOBAL_LOG } from "../../src/schema/names.ts";
import { quote } from "../../src/sqlite/identifier.ts";
import { compareDatabases } from "../support/database.ts";
import { type History, isAbove, NEVER, type Stamp } from "./history.ts";
import type { Reference } from "./reference.ts";
import type { Image } from "./sim_application.ts";
import type { Positions, Site } from "./site.ts";
import { StreamReader } from "./stream_facts.ts";
import { LEDGER, ofLog, sameKeyText, type SimTable, versionsOf } from "./tables.ts";
import { Violation } from "./violation.ts";
import type { SimWorld } from "./sim_world.ts";

/** The version that a node has stored of a key. */
type StoredVersion = readonly [ts: bigint, node: bigint, hash: bigint];

/** What a node showed when it was last looked at. */
interface Shown {
  readonly images: Map<string, Image>;
  readonly versions: Map<string, ReadonlyMap<string, StoredVersion>>;
  readonly positions: Positions;
}

/** A transaction of one shard shows up whole, and so do these rows of it. */
const LEDGER_ROWS = "SELECT x FROM ledger UNION ALL SELECT x FROM uniq WHERE id >= 100";

/** Looks at nodes after everything that they do, and holds what they show against what was written. */
export class Checks {
  readonly #world: SimWorld;
  readonly #history: History;
  readonly #streams: StreamReader;
  readonly #shown = new Map<Site, Shown>();
  /** What the only writer of a table had in it at the end. */
  readonly #soleWrites = new Map<string, Image>();

  constructor(world: SimWorld, history: History) {
    this.#world = world;
    this.#history = history;
    this.#streams = new StreamReader(world.archive);
    for (const site of world.sites) this.look(site);
  }

  /** The application has written, or the database was replaced: what is shown now is where to go on from. */
  look(site: Site): void {
    this.#shown.set(site, readShown(site));
  }

  /** An older copy of a stream was put back. */
  streamWentBack(stream: string, created: string): void {
    this.#streams.forget(stream, created);
  }

  /** A node has applied messages, from its positions before to those of now. */
  afterApplying(site: Site, before: Positions, now: Positions): void {
    const was = this.#shown.get(site)!;
    const is = readShown(site);
    this.#shown.set(site, is);
    // A change or a copy that was away for longer than tombstones are kept brings deleted rows back.
    for (const table of this.#world.terms.expires ? [] : site.followedTables) {
      this.#checkRegressions(site, table, was, is);
      if (hasReadOn(was.positions, is.positions)) this.#checkVersionOrder(site, table, was, is);
      this.#checkFlicker(site, table, was, is);
    }
    this.#checkLedger(site, before, now);
  }

  /**
   * No row goes back to what it was before. A snapshot holds writes of the node that took it which the streams have behind
   * its positions: such a row is ahead of its version, and shows what came in between once more.
   */
  #checkRegressions(site: Site, { name, hasUniques }: SimTable, was: Shown, is: Shown): void {
    const { versions } = is;
    const { hasSnapshots } = this.#world.terms;
    const image = is.images.get(name)!;
    for (const [key, { x }] of was.images.get(name) ?? []) {
      const old = this.#history.lowest(x);
      if (hasSnapshots && isAbove(old, stampOf(was.versions.get(name)!.get(key)))) continue;
      const row = image.get(key);
      const where = `node ${site.number}, ${name} (${key})`;
      if (row && isAbove(old, this.#history.highest(row.x))) {
        throw new Violation(`REGRESSION: ${where} goes back from ${x} to ${row.x}`);
      }
      if (row || hasUniques) continue;
      if (isAbove(old, stampOf(versions.get(name)!.get(key)))) {
        throw new Violation(`REGRESSION: ${where} was ${x} and is gone`);
      }
    }
  }

  /** The version of a row only rises, for as long as its stream is the same. */
  #checkVersionOrder(site: Site, { name }: SimTable, was: Shown, is: Shown): void {
    const now = is.versions.get(name)!;
    for (const [key, old] of was.versions.get(name) ?? []) {
      const version = now.get(key);
      if (version && !isHigher(old, version)) continue;
      // A merge may take the mark back that it left itself, when the snapshot has nothing to say of that row.
      if (!version && old[0] === 0n && this.#world.terms.hasSnapshots) continue;
      throw new Violation(`VERSION ORDER: node ${site.number}, ${name} (${key}) from ${old} to ${version}`);
    }
  }

  /** No row that this node has written, and whose change is on its way, shows anything older. */
  #checkFlicker(site: Site, table: SimTable, was: Shown, { images, versions }: Shown): void {
    const { application, number, id } = site;
    const own = application.all(
      `SELECT ${sameKeyText(table, ofLog)}, ts, node, type, val_x FROM ${
        quote(changeLog(table.name))
      } AS log WHERE ${ON_ITS_WAY} ORDER BY id`,
    ) as [string, bigint, bigint | null, string, string | null][];
    const image = images.get(table.name)!;
    for (const [text, [, ts, node, type, x]] of new Map(own.map((change) => [change[0], change]))) {
      const stamp: Stamp = [ts, node ?? id];
      const stored = versions.get(table.name)!.get(text);
      if (stored && !isAbove(stamp, [stored[0], stored[1]])) continue;
      const row = image.get(text);
      const where = `node ${number}, ${table.name} (${text})`;
      if (row && row.x !== x && isAbove(stamp, this.#history.highest(row.x))) {
        throw new Violation(`FLICKER: ${where} shows ${row.x} over its own change`);
      }
      const isGone = !row && was.images.get(table.name)?.has(text);
      if (isGone && type !== "delete" && !table.hasUniques) throw new Violation(`VANISHED: ${where}`);
    }
  }

  /** What the position has passed is there, and no transaction shows by half. */
  #checkLedger(site: Site, before: Positions, now: Positions): void {
    const shown = shownLedger(site.application);
    for (const [stream, { created, sequence: last }] of now) {
      const was = before.get(stream);
      const first = was?.created === created ? was.sequence + 1 : 1;
      const missing = this.#streams.ledger(stream, created, first, last).find((x) => !shown.has(x));
      if (missing === undefined) continue;
      throw new Violation(
        `POSITION: node ${site.number} is at ${stream} #${last} and lacks ledger row ${missing}`,
      );
    }
    for (const group of this.#world.terms.rollsBack ? [] : this.#history.groups) {
      const count = group.filter((x) => shown.has(x)).length;
      if (count === 0 || count === group.length) continue;
      throw new Violation(`ATOMIC: node ${site.number} shows ${count} of ${group}`);
    }
  }

  /** Nobody writes any more. */
  beforeTheEnd(): void {
    const { sites, terms: { uniqueWriter } } = this.#world;
    const writer = sites.find(({ number }) => number === uniqueWriter);
    for (const table of writer?.application.tables.filter(({ hasUniques }) => hasUniques) ?? []) {
      this.#soleWrites.set(table.name, writer!.application.image(table));
    }
  }

  /** All nodes have read everything and sent everything. */
  atTheEnd(reference: Reference): void {
    const { sites, terms } = this.#world;
    for (const site of sites) checkNothingWaits(site);
    checkSameContent(reference, sites);
    for (const site of sites) checkVersions(site, reference, terms.expires);
    this.#checkNothingLost(reference);
    this.#checkSoleWrites(reference);
    if (terms.expires) return;
    for (const table of reference.application.tables) this.#checkLastWriter(reference, table);
  }

  #checkNothingLost({ application }: Reference): void {
    const shown = shownLedger(application);
    for (const x of this.#history.ledger) {
      if (!shown.has(x)) throw new Violation(`LOST: ledger row ${x}`);
    }
  }

  /** What one node alone writes is everywhere as it has it, also where the order of arrival counts. */
  #checkSoleWrites({ application }: Reference): void {
    for (const table of application.tables) {
      const theirs = this.#soleWrites.get(table.name);
      if (!theirs) continue;
      const ours = application.image(table);
      const key = [...theirs.keys(), ...ours.keys()].find((each) =>
        ours.get(each)?.x !== theirs.get(each)?.x
      );
      if (key === undefined) continue;
      const [is, was] = [ours.get(key)?.x, theirs.get(key)?.x];
      throw new Violation(`ORDER: ${table.name} (${key}) is ${is}, its only writer had ${was}`);
    }
  }

  /** The newest of all writes of a key is what is left of it; where rows make room for others, order of arrival counts. */
  #checkLastWriter({ application }: Reference, table: SimTable): void {
    if (table.hasUniques) return;
    const image = application.image(table);
    for (const key of this.#history.keysOf(table.name)) {
      const x = image.get(key)?.x ?? undefined;
      if (this.#history.mayBeLast(table.name, key, x)) continue;
      throw new Violation(`LAST WRITER: ${table.name} (${key}) is ${x}, which was not written last`);
    }
  }
}

function stampOf(version: StoredVersion | undefined): Stamp {
  return version ? [version[0], version[1]] : NEVER;
}

/** Compares all tables, value by value. */
function checkSameContent(reference: Reference, sites: readonly Site[]): void {
  for (const { path, number } of sites) {
    const [difference] = compareDatabases([reference.path, path]);
    if (!difference) continue;
    const text = difference.text.replaceAll(reference.path, "the streams").replaceAll(path, `node ${number}`);
    throw new Violation(`DIVERGED: ${text}`);
  }
}

interface Queryable {
  all(sql: string): unknown[][];
}

function readShown(site: Site): Shown {
  const { application, followedTables } = site;
  const images = new Map(followedTables.map((table) => [table.name, application.image(table)]));
  const versions = new Map(followedTables.map((table) => [table.name, readVersions(application, table)]));
  return { images, versions, positions: site.positions() };
}

/** False when a stream was created anew or put back, or its versions are being given up for that. */
function hasReadOn(before: Positions, now: Positions): boolean {
  return [...now].every(([stream, { created, sequence }]) => {
    const was = before.get(stream) ?? { created, sequence };
    return created !== "" && was.created === created && was.sequence <= sequence;
  });
}

function readVersions(application: Queryable, table: SimTable): Map<string, StoredVersion> {
  const rows = application.all(
    `SELECT ${sameKeyText(table, ofLog)}, ts, node, hash FROM ${versionsOf(table)}`,
  ) as [string, bigint, bigint, bigint][];
  return new Map(rows.map(([key, ...version]) => [key, version]));
}

function isHigher(a: StoredVersion, b: StoredVersion): boolean {
  const at = a.findIndex((part, index) => part !== b[index]);
  return at >= 0 && a[at]! > b[at]!;
}

function shownLedger(application: Queryable & { tables: readonly SimTable[] }): Set<string> {
  const hasUniq = application.tables.some(({ name }) => name === "uniq");
  const rows = application.all(hasUniq ? LEDGER_ROWS : `SELECT x FROM ${LEDGER.name}`);
  return new Set(rows.map(([x]) => String(x)));
}

function checkNothingWaits({ application, number, followedTables }: Site): void {
  if (application.all(`SELECT 1 FROM ${quote(GLOBAL_LOG)}`).length > 0) {
    throw new Violation(`UNSENT: node ${number} has changes in its global log`);
  }
  for (const { name } of followedTables) {
    const waiting = application.all(`SELECT id FROM ${quote(changeLog(name))} AS log WHERE ${ON_ITS_WAY}`);
    if (waiting.length > 0) throw new Violation(`WAITS: node ${number}, ${name} ${waiting.join()}`);
  }
}

function checkVersions({ application, number }: Site, reference: Reference, expires: boolean): void {
  for (const table of application.tables) {
    // A tombstone that counts as absent may have been removed or not.
    const which = expires ? "WHERE deleted = 0" : "";
    const sql = `SELECT ${sameKeyText(table, ofLog)}, ts, node, hash, deleted FROM ${
      versionsOf(table)
    } ${which} ORDER BY 1`;
    const [ours, theirs] = [reference, { application }]
      .map((each) => each.application.all(sql).map(String));
    const index = theirs!.findIndex((row, at) => row !== ours![at]);
    if (theirs!.length === ours!.length && index < 0) continue;
    throw new Violation(
      `VERSIONS: node ${number}, ${table.name}: ${theirs!.join(" | ")}, the stream says ${ours!.join(" | ")}`,
    );
  }
}
