import type { PublishFault } from "../../src/stream/memory_log.ts";
import { shardOf, shardOfTable } from "../../src/wire/shard.ts";
import { ApplicationWrites, type Statement, xOf } from "./application_writes.ts";
import type { Checks } from "./checks.ts";
import type { Gate, GateKind } from "./gates.ts";
import { type History, identity } from "./history.ts";
import type { Random } from "./random.ts";
import type { LoggedWrite } from "./sim_application.ts";
import type { SimWorld } from "./sim_world.ts";
import type { Positions, Replaced, Site } from "./site.ts";
import type { SimTable } from "./tables.ts";
import { type Limits, limitsText } from "./terms.ts";
import type { Verifications } from "./verifications.ts";

/** Gates that a node passes in one go, at most. */
const MOST_GATES = 60;

export interface ActionsOptions {
  readonly world: SimWorld;
  readonly checks: Checks;
  readonly history: History;
  readonly verifications: Verifications;
}

/** What steps are made of. Whatever a node does is looked at as soon as it is done. */
export class Actions {
  readonly #world: SimWorld;
  readonly #checks: Checks;
  readonly #history: History;
  readonly #verifications: Verifications;
  readonly #writes = new ApplicationWrites();

  constructor({ world, checks, history, verifications }: ActionsOptions) {
    this.#world = world;
    this.#checks = checks;
    this.#history = history;
    this.#verifications = verifications;
  }

  /** A lazy node has its turn rarely. */
  pickSite(random: Random, sites: readonly Site[] = this.#world.sites): Site {
    const { lazy } = this.#world.terms;
    const site = random.pick(sites);
    return site.number === lazy && random.chance(0.8) ? random.pick(sites) : site;
  }

  pickWriter(site: Site, random: Random): Site {
    const { sites, terms: { uniqueWriter } } = this.#world;
    return uniqueWriter !== undefined && random.chance(0.5) ? sites[uniqueWriter - 1]! : site;
  }

  async write(site: Site, random: Random, tables = this.tablesToWrite(site)): Promise<void> {
    const { application, number } = site;
    const statements = this.#writes.transaction(random, number, tables);
    const rollBack = random.chance(0.1);
    const { writes, ledger } = application.transact(statements, rollBack);
    const sql = statements.map((each) => each.sql).join("; ");
    this.say(site, `writes${rollBack ? " and rolls back" : ""}: ${sql}`);
    this.#note(site, writes);
    this.#noteLedger(ledger);
    this.#checks.look(site);
    if (random.chance(0.8)) await site.process.notice();
  }

  tablesToWrite({ number, followedTables }: Site): SimTable[] {
    const { uniqueWriter } = this.#world.terms;
    const isAlone = uniqueWriter === undefined || uniqueWriter === number;
    return isAlone ? followedTables : followedTables.filter(({ hasUniques }) => !hasUniques);
  }

  #note(site: Site, writes: readonly LoggedWrite[]): void {
    for (const { table, key, type, ts, x } of writes) {
      this.#world.trace.push(`    ${type} ${table} (${key}) ${x} ts ${ts}`);
    }
    this.#history.note(site.id, writes);
  }

  #noteLedger(ledger: readonly NonNullable<Statement["ledger"]>[]): void {
    const { shards, wholeTransactions } = this.#world.terms;
    this.#history.noteLedger(ledger.map(xOf));
    if (!wholeTransactions) return;
    const shardOfRow = ({ table, key }: NonNullable<Statement["ledger"]>): number =>
      table === "uniq" ? shardOfTable(table, shards) : shardOf(table, ["id"], [key.slice(1, -1)], shards);
    for (const rows of Map.groupBy(ledger, shardOfRow).values()) this.#history.noteGroup(rows.map(xOf));
  }

  /** Some node does the next thing that it waits to do, once or several times. */
  async go(random: Random, kind?: GateKind): Promise<void> {
    const gatesOf = ({ process }: Site): readonly Gate[] =>
      process.gates.waiting.filter((gate) => kind === undefined || gate.kind === kind);
    for (let more = random.pick([1, 1, 2, 4]); more > 0; more--) {
      const ready = this.#world.sites.filter((site) => gatesOf(site).length > 0);
      if (ready.length === 0) return;
      const site = this.pickSite(random, ready);
      const fault = random.chance(0.72) || site.isCut ? undefined : random.pick(FAULTS);
      await this.open(site, random.pick(gatesOf(site)), random, fault);
    }
  }

  /** A node does all that it can without waiting, or so much of it. */
  async exchange(site: Site, random: Random, most = MOST_GATES): Promise<void> {
    const { gates } = site.process;
    for (let passed = 0; gates.waiting.length > 0 && passed < most; passed++) {
      await this.open(site, random.pick(gates.waiting), random);
    }
  }

  /** Lets a node do what it waits at a gate for, and looks at what came of it. */
  async open(site: Site, gate: Gate, random: Random, fault?: PublishFault): Promise<void> {
    const { process, application } = site;
    const count = random.pick([1, 2, 5]);
    const pass = (): Promise<void> =>
      this.#world.time.run(process, () => process.gates.open(gate, { fault, count }));
    if (gate.kind !== "write") return await pass();
    const [before, pending] = [site.positions(), site.pending];
    application.skipCaptured();
    await pass();
    const now = site.positions();
    const moved = movesOf(before, now);
    const marked = pending - site.pending;
    if (moved.length > 0) this.say(site, moved.join());
    else this.say(site, marked > 0 ? `marks ${marked} as sent` : "writes to its own tables");
    this.#note(site, application.readCaptured());
    // Repairs and merges write rows without a message.
    const { terms: { hasSnapshots } } = this.#world;
    const mayHaveWritten = moved.length > 0 || this.#verifications.isRunning || hasSnapshots;
    if (mayHaveWritten) this.#checks.afterApplying(site, before, now);
  }

  async restart(site: Site, limits: Limits): Promise<void> {
    this.say(site, `is killed and started again, ${limitsText(limits)}`);
    await site.crash(limits);
  }

  cut(site: Site, isCut: boolean): void {
    if (site.isCut === isCut) return;
    site.setCut(isCut);
    this.say(site, isCut ? "is cut off" : "is connected again");
  }

  /** The machine of a node dies with its disk, and `begin` starts another with what there is. */
  async replace(site: Site, begin: () => Promise<Replaced>): Promise<void> {
    const { lost, back } = await begin();
    const kept = new Set(back.map(identity));
    this.#history.forget(site.id, lost.filter((write) => !kept.has(identity(write))));
    this.#history.note(site.id, back);
    this.#checks.look(site);
  }

  say(site: Site, text: string): void {
    this.#world.say(site, text);
  }
}

/** What has become of positions, in words. */
function movesOf(before: Positions, now: Positions): string[] {
  return [...now].flatMap(([stream, { created, sequence }]) => {
    const was = before.get(stream);
    if (was && was.created !== created) return [`starts over with ${stream}`];
    return was?.sequence === sequence ? [] : [`applies ${stream} to #${sequence}`];
  });
}

const FAULTS: readonly PublishFault[] = ["lose-acknowledgement", "lose-message", "delay-message"];
