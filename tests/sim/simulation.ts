import { Actions } from "./actions.ts";
import { Checks } from "./checks.ts";
import type { Gate } from "./gates.ts";
import { History } from "./history.ts";
import { Random } from "./random.ts";
import { Reference } from "./reference.ts";
import { SimWorld } from "./sim_world.ts";
import { Snapshots } from "./snapshots.ts";
import type { Copy, Site } from "./site.ts";
import { KIND_OF_STEP, type Step, type StepKind, stepsOf } from "./steps.ts";
import { randomLimits, randomSkewMs } from "./terms.ts";
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
/** A reader that was told of a stream that went back looks again after its pause; until then it may seem to have read all. */
const ROUNDS_TO_NOTICE = 2;
/** Time that passes between two rounds of healing: longer than any pause of a node. */
const ROUND_MS = 6_000;
const MOST_GATES_TO_VERIFY = 150;
/** Gates that a node passes in one go, at most. */
const MOST_GATES = 60;
/**
 * Where one node alone writes some tables all of its writes must arrive, so no file is replaced by a copy; nor where streams
 * are lost, as what is in none of them dies with a disk.
 */
const COPYING: readonly StepKind[] = ["save", "restore", "relapse", "lose"];

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
  readonly #copies: Copy[] = [];
  readonly #verifications: Verifications;
  readonly #actions: Actions;
  readonly #snapshots: Snapshots;

  constructor(world: SimWorld) {
    this.#world = world;
    this.#checks = new Checks(world, this.#history);
    const verifications = this.#verifications = new Verifications(world);
    this.#actions = new Actions({ world, checks: this.#checks, history: this.#history, verifications });
    this.#snapshots = new Snapshots(world, this.#actions);
  }

  async take({ kind, seed }: Step): Promise<void> {
    const random = new Random(seed);
    await this.#world.time.pass(random.pick([0, 0, 1, 1, 2, 100]));
    await this.#take(kind, random);
    this.#checkAlive();
  }

  #checkAlive(): void {
    const failure = this.#verifications.failure ?? this.#snapshots.failure;
    if (failure !== undefined) throw failure;
    for (const { process: { failure }, number } of this.#world.sites) {
      if (failure === undefined) continue;
      if (failure instanceof Violation) throw failure;
      throw new Violation(`STOPPED: node ${number}: ${failure}`, { cause: failure });
    }
  }

  async #take(kind: StepKind, random: Random): Promise<void> {
    const site = this.#actions.pickSite(random);
    const { sites, terms: { uniqueWriter, decays, recreates } } = this.#world;
    if ((uniqueWriter !== undefined || decays || recreates) && COPYING.includes(kind)) return;
    switch (kind) {
      case "write":
        return await this.#actions.write(this.#actions.pickWriter(site, random), random);
      case "go":
      case "send":
      case "read":
      case "store":
        return await this.#actions.go(random, KIND_OF_STEP[kind]);
      case "exchange":
        return await this.#actions.exchange(site, random);
      case "crash":
        return await this.#crash(site, random);
      case "breakOff":
        return uniqueWriter === undefined
          ? await this.#breakOff(site, random)
          : await this.#burst(sites[uniqueWriter - 1]!, random);
      case "alter":
        return await this.#alter(site, random, true);
      case "cut":
        return this.#actions.cut(site, !site.isCut);
      case "absence":
        return await this.#absence(site, random);
      case "save":
        this.#actions.say(site, "is copied");
        return void this.#copies.push(site.save());
      case "restore":
        return await this.#restore(site, this.#pickCopy(site, random));
      case "relapse":
        return await this.#relapse(site, random);
      case "verify":
        return await this.#verify(site, random, random.chance(0.5), sites);
      case "decay":
        return decays ? await this.#decay(site, random) : undefined;
      case "snapshot":
        return await this.#snapshots.take(site, random);
      case "truncate":
        return this.#snapshots.truncate(random);
      case "recreate":
        return await this.#recreate(random);
      case "rollBack":
        return await this.#rollBack(random);
      case "leave":
        return await this.#snapshots.leave(site, random);
      case "lose":
        return await this.#snapshots.lose(site, random);
      case "join":
        return await this.#join(random);
      case "forget":
        return await this.#snapshots.forgetMap(site, random);
      default:
        return await this.#passTime(kind, site, random);
    }
  }

  /** Dies in the middle of what it does. */
  async #crash(site: Site, random: Random): Promise<void> {
    await this.#actions.exchange(site, random, random.pick([0, 0, 1, 2, 3, 5]));
    await this.#actions.restart(site, random.chance(0.4) ? randomLimits(random, site.limits) : site.limits);
  }

  async #breakOff(site: Site, random: Random): Promise<void> {
    const { gates } = site.process;
    const parts = (): Gate[] => gates.waiting.filter(({ kind }) => kind === "publish");
    for (let passed = 0; parts().length < 2 && passed < MOST_GATES; passed++) {
      const others = gates.waiting.filter(({ kind }) => kind !== "publish");
      if (others.length === 0) return;
      await this.#actions.open(site, random.pick(others), random);
    }
    if (parts().length === 0) return;
    await this.#actions.open(site, random.pick(parts()), random);
    await this.#actions.restart(site, randomLimits(random, site.limits));
  }

  /** Writes in which rows make room for others, one after the other, each looked at by the node before any is sent. */
  async #burst(site: Site, random: Random): Promise<void> {
    const { gates } = site.process;
    const tables = site.followedTables.filter(({ hasUniques }) => hasUniques);
    for (let writes = tables.length > 0 ? 8 : 0; writes > 0; writes--) {
      await this.#actions.write(site, random, tables);
      await site.process.notice();
      for (let passed = 0; passed < MOST_GATES; passed++) {
        const others = gates.waiting.filter(({ kind }) => kind !== "publish");
        if (others.length === 0) break;
        await this.#actions.open(site, random.pick(others), random);
      }
    }
    await this.#actions.exchange(site, random);
  }

  async #alter(site: Site, random: Random, isWriting: boolean): Promise<void> {
    const change = site.alter();
    if (!change) return;
    this.#actions.say(site, change.sql);
    this.#checks.look(site);
    const changed = this.#actions.tablesToWrite(site).filter(({ name }) => name === change.table);
    // The application goes on at once, before its node can have noticed.
    if (isWriting && random.chance(0.6)) await this.#actions.write(site, random, changed);
    else if (random.chance(0.7)) await site.process.notice();
  }

  #pickCopy(site: Site, random: Random): Copy | undefined {
    const own = this.#copies.filter((copy) => copy.of === site.number);
    const choices = own.length > 0 && random.chance(0.8) ? own : this.#copies;
    return choices.length > 0 ? random.pick(choices) : undefined;
  }

  /** The clock of the backup stands where it stood when what is lost was written. */
  async #relapse(site: Site, random: Random): Promise<void> {
    const copy = site.save();
    await this.#actions.write(site, random);
    await this.#actions.exchange(site, random);
    await this.#restore(site, copy);
    await this.#actions.write(site, random);
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
      if (random.chance(0.05)) {
        await this.#actions.write(this.#actions.pickWriter(random.pick(writers), random), random);
      } else if (some.length > 0) await this.#actions.open(other, random.pick(some), random);
      else await time.pass(random.pick([5, 50]));
    }
  }

  async #decay(site: Site, random: Random): Promise<void> {
    this.#verifications.decay(site, random);
    this.#checks.look(site);
    if (random.chance(0.5)) return;
    for (const each of this.#world.sites) {
      this.#actions.cut(each, false);
      await this.#actions.exchange(each, random);
    }
    await this.#verify(this.#actions.pickSite(random), random, true, [site]);
  }

  async #absence(site: Site, random: Random): Promise<void> {
    const { sites, time, trace } = this.#world;
    this.#actions.cut(site, true);
    await this.#actions.write(site, random);
    const others = sites.filter((each) => each !== site);
    for (const ms of [0, HOUR_MS, 0]) {
      if (ms > 0) trace.push(`${ms} ms pass`);
      await time.pass(ms);
      for (const other of random.chance(0.5) ? others : others.toReversed()) {
        if (random.chance(0.5)) await this.#actions.write(other, random);
        await this.#actions.exchange(other, random);
      }
    }
    this.#actions.cut(site, false);
  }

  /** The machine dies; another takes its place with a copy of its database, or of another node's. */
  async #restore(site: Site, copy: Copy | undefined): Promise<void> {
    if (!copy) return;
    this.#actions.say(site, `dies and starts again with a copy of node ${copy.of}`);
    await this.#actions.replace(site, () => site.restore(copy));
  }

  /** Somebody deletes streams and creates them anew, or the servers have lost them; what goes on meanwhile goes on. */
  async #recreate(random: Random): Promise<void> {
    const { archive, broker, sites, terms, trace } = this.#world;
    const names = broker.list().map(({ name }) => name);
    for (const name of random.chance(0.5) ? names : [random.pick(names)]) {
      trace.push(`${name} is deleted and created anew`);
      archive.recreate(name);
    }
    // A node that comes now finds snapshots of what there was before.
    if (terms.hasSnapshots && random.chance(0.2)) await this.#join(random);
    if (random.chance(0.4)) await this.#actions.exchange(random.pick(sites), random, random.below(20));
  }

  /** An older copy of a server's store is put back: streams lack their newest messages, and others come in their place. */
  async #rollBack(random: Random): Promise<void> {
    const { archive, broker, sites, time, trace } = this.#world;
    const names = broker.list().map(({ name }) => name);
    for (const name of random.chance(0.5) ? names : [random.pick(names)]) {
      const { created, last } = broker.find(name)!;
      const end = random.chance(0.5) ? Math.max(0, last - 1 - random.below(4)) : random.below(last + 1);
      if (sites.some((site) => this.#wouldMissOwn(site, name, end))) continue;
      if (end >= last) continue;
      trace.push(`${name} goes back from #${last} to #${end}`);
      archive.rollBack(name, end);
      this.#checks.streamWentBack(name, created);
    }
    await time.pass(5);
    if (random.chance(0.4)) await this.#actions.exchange(random.pick(sites), random, random.below(20));
  }

  /** Whether a node has sent what it would lose without hearing of it: it has not read it back yet. */
  #wouldMissOwn(site: Site, stream: string, end: number): boolean {
    const position = site.positions().get(stream)?.sequence ?? 0;
    return position <= end && (site.pending > 0 || site.lastSent(stream) > end);
  }

  async #join(random: Random): Promise<void> {
    const site = await this.#snapshots.join(random);
    if (site) this.#checks.look(site);
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
    const { broker, sites, trace } = this.#world;
    const random = new Random(5);
    trace.push("everything heals");
    this.#checks.beforeTheEnd();
    broker.deliverLate();
    for (const site of sites) {
      this.#actions.cut(site, false);
      if (random.chance(0.5)) await site.crash(site.limits);
    }
    await this.#comeToRest(random);
    if (await this.#snapshots.loseAtTheEnd(random)) await this.#comeToRest(random);
    await this.#verifications.verifyAll(random, async () => {
      for (const site of this.#world.sites) await this.#actions.exchange(site, random);
      this.#checkAlive();
    });
    using reference = await Reference.read(this.#world);
    this.#checks.atTheEnd(reference);
  }

  async #comeToRest(random: Random): Promise<void> {
    const leastRounds = this.#world.terms.rollsBack ? ROUNDS_TO_NOTICE : 0;
    for (let round = 0; await this.#isBusy(random) || round < leastRounds; round++) {
      if (round === MOST_ROUNDS_TO_HEAL) throw new Violation("LIVELOCK: it does not come to rest");
      await this.#world.time.pass(ROUND_MS);
    }
  }

  /** Each node does what it can. Whether anything is left to do. */
  async #isBusy(random: Random): Promise<boolean> {
    for (const site of this.#world.sites) {
      await this.#alter(site, random, false);
      await this.#actions.exchange(site, random);
      this.#checkAlive();
    }
    return this.#world.sites.some((site) =>
      site.isSchemaBehind || site.pending > 0 || !this.#hasReadAll(site)
    );
  }

  #hasReadAll(site: Site): boolean {
    const positions = site.positions();
    return this.#world.broker.list().every(({ name, created, last }) => {
      const position = positions.get(name);
      return position?.created === created && position.sequence === last;
    });
  }
}
