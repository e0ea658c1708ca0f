import type { PublishFault } from "../../src/stream/memory_log.ts";
import { shardOf, shardOfTable } from "../../src/wire/shard.ts";
import { ApplicationWrites, type Statement, xOf } from "./application_writes.ts";
import { Checks } from "./checks.ts";
import type { Gate, GateKind } from "./gates.ts";
import { History, identity } from "./history.ts";
import { Random } from "./random.ts";
import { Reference } from "./reference.ts";
import type { LoggedWrite } from "./sim_application.ts";
import { SimWorld } from "./sim_world.ts";
import type { Copy, Site } from "./site.ts";
import type { SimTable } from "./tables.ts";
import { KIND_OF_STEP, type Step, type StepKind, stepsOf } from "./steps.ts";
import { type Limits, limitsText, randomLimits, randomSkewMs } from "./terms.ts";
import { makeSimDir } from "./sim_dir.ts";
import { Verifications } from "./verifications.ts";
import { Violation } from "./violation.ts";

export interface Run {
  /** What happened, step by step. */
  readonly trace: readonly string[];
  /** Undefined when all went well. */
  readonly violation: unknown;
}

const HOUR_MS = 3_700_000;
const MOST_ROUNDS_TO_HEAL = 300;
/** Time that passes between two rounds of healing: longer than any pause of a node. */
const ROUND_MS = 6_000;
const MOST_GATES_TO_VERIFY = 150;
/** Gates that a node passes in one go, at most. */
const MOST_GATES = 60;
/** Where one node alone writes some tables all of its writes must arrive, so no file is replaced by a copy. */
const COPYING: readonly StepKind[] = ["save", "restore", "relapse"];

/** One run from its seed: always the same. */
export async function simulate(seed: number, steps: readonly Step[] = stepsOf(seed)): Promise<Run> {
  await using folder = await makeSimDir();
  await using world = await SimWorld.open(seed, folder.path);
  const simulation = new Simulation(world);
  try {
    for (const step of steps) await simulation.take(step);
    await simulation.heal();
    return { trace: world.trace, violation: undefined };
  } catch (violation) {
    return { trace: world.trace, violation };
  }
}

class Simulation {
  readonly #world: SimWorld;
  readonly #checks: Checks;
  readonly #history = new History();
  readonly #writes = new ApplicationWrites();
  readonly #copies: Copy[] = [];
  readonly #verifications: Verifications;

  constructor(world: SimWorld) {
    this.#world = world;
    this.#checks = new Checks(world, this.#history);
    this.#verifications = new Verifications(world);
  }

  async take({ kind, seed }: Step): Promise<void> {
    const random = new Random(seed);
    await this.#world.time.pass(random.pick([0, 0, 1, 1, 2, 100]));
    await this.#take(kind, random);
    this.#checkAlive();
  }

  #checkAlive(): void {
    if (this.#verifications.failure !== undefined) throw this.#verifications.failure;
    for (const { process: { failure }, number } of this.#world.sites) {
      if (failure === undefined) continue;
      if (failure instanceof Violation) throw failure;
      throw new Violation(`STOPPED: node ${number}: ${failure}`, { cause: failure });
    }
  }

  async #take(kind: StepKind, random: Random): Promise<void> {
    const site = this.#pickSite(random);
    const { sites, terms: { uniqueWriter, decays } } = this.#world;
    if ((uniqueWriter !== undefined || decays) && COPYING.includes(kind)) return;
    switch (kind) {
      case "write":
        return await this.#write(this.#pickWriter(site, random), random);
      case "go":
      case "send":
      case "read":
      case "store":
        return await this.#go(random, KIND_OF_STEP[kind]);
      case "exchange":
        return await this.#exchange(site, random);
      case "crash":
        return await this.#crash(site, random);
      case "breakOff":
        return uniqueWriter === undefined
          ? await this.#breakOff(site, random)
          : await this.#burst(sites[uniqueWriter - 1]!, random);
      case "alter":
        return await this.#alter(site, random, true);
      case "cut":
        return this.#cut(site, !site.isCut);
      case "absence":
        return await this.#absence(site, random);
      case "save":
        this.#say(site, "is copied");
        return void this.#copies.push(site.save());
      case "restore":
        return await this.#restore(site, this.#pickCopy(site, random));
      case "relapse":
        return await this.#relapse(site, random);
      case "verify":
        return await this.#verify(site, random, random.chance(0.5), sites);
      case "decay":
        return decays ? await this.#decay(site, random) : undefined;
      default:
        return await this.#passTime(kind, site, random);
    }
  }

  /** A lazy node has its turn rarely. */
  #pickSite(random: Random, sites: readonly Site[] = this.#world.sites): Site {
    const { lazy } = this.#world.terms;
    const site = random.pick(sites);
    return site.number === lazy && random.chance(0.8) ? random.pick(sites) : site;
  }

  #pickWriter(site: Site, random: Random): Site {
    const { sites, terms: { uniqueWriter } } = this.#world;
    return uniqueWriter !== undefined && random.chance(0.5) ? sites[uniqueWriter - 1]! : site;
  }

  async #write(site: Site, random: Random, tables = this.#tablesToWrite(site)): Promise<void> {
    const { application, number } = site;
    const statements = this.#writes.transaction(random, number, tables);
    const rollBack = random.chance(0.1);
    const { writes, ledger } = application.transact(statements, rollBack);
    const sql = statements.map((each) => each.sql).join("; ");
    this.#say(site, `writes${rollBack ? " and rolls back" : ""}: ${sql}`);
    this.#note(site, writes);
    this.#noteLedger(ledger);
    this.#checks.look(site);
    if (random.chance(0.8)) await site.process.notice();
  }

  #tablesToWrite({ number, followedTables }: Site): SimTable[] {
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
  async #go(random: Random, kind?: GateKind): Promise<void> {
    const gatesOf = ({ process }: Site): readonly Gate[] =>
      process.gates.waiting.filter((gate) => kind === undefined || gate.kind === kind);
    for (let more = random.pick([1, 1, 2, 4]); more > 0; more--) {
      const ready = this.#world.sites.filter((site) => gatesOf(site).length > 0);
      if (ready.length === 0) return;
      const site = this.#pickSite(random, ready);
      const fault = random.chance(0.72) || site.isCut ? undefined : random.pick(FAULTS);
      await this.#open(site, random.pick(gatesOf(site)), random, fault);
    }
  }

  /** A node does all that it can without waiting, or so much of it. */
  async #exchange(site: Site, random: Random, most = MOST_GATES): Promise<void> {
    const { gates } = site.process;
    for (let passed = 0; gates.waiting.length > 0 && passed < most; passed++) {
      await this.#open(site, random.pick(gates.waiting), random);
    }
  }

  /** Lets a node do what it waits at a gate for, and looks at what came of it. */
  async #open(site: Site, gate: Gate, random: Random, fault?: PublishFault): Promise<void> {
    const { process, application } = site;
    const count = random.pick([1, 2, 5]);
    const pass = (): Promise<void> =>
      this.#world.time.run(process, () => process.gates.open(gate, { fault, count }));
    if (gate.kind !== "write") return await pass();
    const [before, pending] = [site.positions(), site.pending];
    application.skipCaptured();
    await pass();
    const now = site.positions();
    const moved = [...now].filter(([stream, sequence]) => before.get(stream) !== sequence);
    if (moved.length > 0) {
      this.#say(site, `applies ${moved.map(([stream, sequence]) => `${stream} to #${sequence}`).join()}`);
      this.#note(site, application.readCaptured());
      this.#checks.afterApplying(site, before, now);
    } else {
      if (this.#verifications.isRunning) this.#checks.afterApplying(site, now, now);
      const marked = pending - site.pending;
      this.#say(site, marked > 0 ? `marks ${marked} as sent` : "writes to its own tables");
    }
  }

  /** Dies in the middle of what it does. */
  async #crash(site: Site, random: Random): Promise<void> {
    await this.#exchange(site, random, random.pick([0, 0, 1, 2, 3, 5]));
    await this.#restart(site, random.chance(0.4) ? randomLimits(random, site.limits) : site.limits);
  }

  async #breakOff(site: Site, random: Random): Promise<void> {
    const { gates } = site.process;
    const parts = (): Gate[] => gates.waiting.filter(({ kind }) => kind === "publish");
    for (let passed = 0; parts().length < 2 && passed < MOST_GATES; passed++) {
      const others = gates.waiting.filter(({ kind }) => kind !== "publish");
      if (others.length === 0) return;
      await this.#open(site, random.pick(others), random);
    }
    if (parts().length === 0) return;
    await this.#open(site, random.pick(parts()), random);
    await this.#restart(site, randomLimits(random, site.limits));
  }

  /** Writes in which rows make room for others, one after the other, each looked at by the node before any is sent. */
  async #burst(site: Site, random: Random): Promise<void> {
    const { gates } = site.process;
    const tables = site.followedTables.filter(({ hasUniques }) => hasUniques);
    for (let writes = tables.length > 0 ? 8 : 0; writes > 0; writes--) {
      await this.#write(site, random, tables);
      await site.process.notice();
      for (let passed = 0; passed < MOST_GATES; passed++) {
        const others = gates.waiting.filter(({ kind }) => kind !== "publish");
        if (others.length === 0) break;
        await this.#open(site, random.pick(others), random);
      }
    }
    await this.#exchange(site, random);
  }

  async #restart(site: Site, limits: Limits): Promise<void> {
    this.#say(site, `is killed and started again, ${limitsText(limits)}`);
    await site.crash(limits);
  }

  async #alter(site: Site, random: Random, isWriting: boolean): Promise<void> {
    const change = site.alter();
    if (!change) return;
    this.#say(site, change.sql);
    this.#checks.look(site);
    const changed = this.#tablesToWrite(site).filter(({ name }) => name === change.table);
    // The application goes on at once, before its node can have noticed.
    if (isWriting && random.chance(0.6)) await this.#write(site, random, changed);
    else if (random.chance(0.7)) await site.process.notice();
  }

  #cut(site: Site, isCut: boolean): void {
    if (site.isCut === isCut) return;
    site.setCut(isCut);
    this.#say(site, isCut ? "is cut off" : "is connected again");
  }

  #pickCopy(site: Site, random: Random): Copy | undefined {
    const own = this.#copies.filter((copy) => copy.of === site.number);
    const choices = own.length > 0 && random.chance(0.8) ? own : this.#copies;
    return choices.length > 0 ? random.pick(choices) : undefined;
  }

  /** The clock of the backup stands where it stood when what is lost was written. */
  async #relapse(site: Site, random: Random): Promise<void> {
    const copy = site.save();
    await this.#write(site, random);
    await this.#exchange(site, random);
    await this.#restore(site, copy);
    await this.#write(site, random);
  }

  /** Often applications write while it goes on, and nodes send and apply. */
  async #verify(site: Site, random: Random, repair: boolean, writers: readonly Site[]): Promise<void> {
    const { sites, time } = this.#world;
    const asked = await this.#verifications.ask(site, repair);
    let isDone = false;
    void asked.results.then(() => isDone = true);
    for (let passed = 0; !isDone && passed < MOST_GATES_TO_VERIFY; passed++) {
      const other = random.pick(sites);
      const gates = other.process.gates.waiting;
      const own = gates.filter(({ kind }) => kind === "ask" || kind === "snapshot");
      const some = random.chance(0.7) && own.length > 0 ? own : gates;
      if (random.chance(0.05)) await this.#write(this.#pickWriter(random.pick(writers), random), random);
      else if (some.length > 0) await this.#open(other, random.pick(some), random);
      else await time.pass(random.pick([5, 50]));
    }
  }

  async #decay(site: Site, random: Random): Promise<void> {
    this.#verifications.decay(site, random);
    this.#checks.look(site);
    if (random.chance(0.5)) return;
    for (const each of this.#world.sites) {
      this.#cut(each, false);
      await this.#exchange(each, random);
    }
    await this.#verify(this.#pickSite(random), random, true, [site]);
  }

  async #absence(site: Site, random: Random): Promise<void> {
    const { sites, time, trace } = this.#world;
    this.#cut(site, true);
    await this.#write(site, random);
    const others = sites.filter((each) => each !== site);
    for (const ms of [0, HOUR_MS, 0]) {
      if (ms > 0) trace.push(`${ms} ms pass`);
      await time.pass(ms);
      for (const other of random.chance(0.5) ? others : others.toReversed()) {
        if (random.chance(0.5)) await this.#write(other, random);
        await this.#exchange(other, random);
      }
    }
    this.#cut(site, false);
  }

  /** The machine dies; another takes its place with a copy of its database, or of another node's. */
  async #restore(site: Site, copy: Copy | undefined): Promise<void> {
    if (!copy) return;
    this.#say(site, `dies and starts again with a copy of node ${copy.of}`);
    const { lost, back } = await site.restore(copy);
    const kept = new Set(back.map(identity));
    this.#history.forget(site.id, lost.filter((write) => !kept.has(identity(write))));
    this.#history.note(site.id, back);
    this.#checks.look(site);
  }

  async #passTime(kind: "late" | "window" | "tick", site: Site, random: Random): Promise<void> {
    const { broker, time, terms, trace } = this.#world;
    if (kind === "late") {
      trace.push("what was delayed arrives");
      return broker.deliverLate();
    }
    const ticks = terms.expires
      ? [5, 6_000, 70_000, 70_000, 3_700_000]
      : [5, 500, 500, 6_000, 30_000, HOUR_MS];
    const ms = kind === "window" ? 121_000 : random.pick(ticks);
    if (random.chance(0.2)) site.skewMs = randomSkewMs(random, terms);
    trace.push(`${ms} ms pass; the clock of node ${site.number} is off by ${site.skewMs} ms`);
    await time.pass(ms);
  }

  /** Everything gets better, and time enough passes; then all must be well. */
  async heal(): Promise<void> {
    const { broker, sites, time, trace } = this.#world;
    const random = new Random(5);
    trace.push("everything heals");
    this.#checks.beforeTheEnd();
    broker.deliverLate();
    for (const site of sites) {
      this.#cut(site, false);
      if (random.chance(0.5)) await site.crash(site.limits);
    }
    for (let round = 0; await this.#isBusy(random); round++) {
      if (round === MOST_ROUNDS_TO_HEAL) throw new Violation("LIVELOCK: it does not come to rest");
      await time.pass(ROUND_MS);
    }
    await this.#verifications.verifyAll(random, async () => {
      for (const site of this.#world.sites) await this.#exchange(site, random);
      this.#checkAlive();
    });
    using reference = await Reference.read(this.#world);
    this.#checks.atTheEnd(reference);
  }

  /** Each node does what it can. Whether anything is left to do. */
  async #isBusy(random: Random): Promise<boolean> {
    for (const site of this.#world.sites) {
      await this.#alter(site, random, false);
      await this.#exchange(site, random);
      this.#checkAlive();
    }
    return this.#world.sites.some((site) =>
      site.isSchemaBehind || site.pending > 0 || !this.#hasReadAll(site)
    );
  }

  #hasReadAll(site: Site): boolean {
    const positions = site.positions();
    return this.#world.broker.list().every(({ name, last }) => positions.get(name) === last);
  }

  #say(site: Site, text: string): void {
    this.#world.say(site, text);
  }
}

const FAULTS: readonly PublishFault[] = ["lose-acknowledgement", "lose-message", "delay-message"];
