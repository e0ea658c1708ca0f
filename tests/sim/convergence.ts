/**
 * The simulation of a cluster: real SQLite files, the real capture, publish and apply code, streams in memory, and every
 * fault that may come between. One seed is one run, always the same.
 */
import type { PublishFault } from "../../src/stream/memory_log.ts";
import { shardOf, shardOfTable } from "../../src/wire/shard.ts";
import { makeTempDir } from "../support/temp.ts";
import { Checks } from "./checks.ts";
import { Random } from "./random.ts";
import type { Statement } from "./application_writes.ts";
import type { LoggedWrite } from "./sim_application.ts";
import { SimWorld, type Site } from "./sim_world.ts";

/** How often each kind of step is taken. */
const STEPS = {
  write: 9,
  round: 6,
  send: 9,
  mark: 6,
  consume: 10,
  exchange: 6,
  late: 2,
  crash: 1,
  clean: 1,
  tick: 2,
  window: 1,
  alter: 1,
} as const;

type StepKind = keyof typeof STEPS;

/** A step with randomness of its own, so that leaving one out does not change the others. */
export interface Step {
  readonly kind: StepKind;
  readonly seed: number;
}

export interface Run {
  /** What happened, step by step. */
  readonly trace: readonly string[];
  /** Undefined when all went well. */
  readonly violation: unknown;
}

const LENGTHS = [8, 15, 25, 40, 70, 120];
const MOST_ROUNDS_TO_HEAL = 200;

/** What happens in a run; `count`: so many steps instead of as many as the seed says. */
export function stepsOf(seed: number, count = LENGTHS[seed % LENGTHS.length]!): Step[] {
  const random = new Random(seed + 2);
  const kinds = Object.keys(STEPS) as StepKind[];
  const weights = kinds.map((kind) => STEPS[kind] * random.pick([1, 1, 2, 3, kind === "write" ? 1 : 0.2]));
  const total = weights.reduce((a, b) => a + b);
  return Array.from({ length: count }, () => {
    let at = random.next() / 2 ** 32 * total;
    const chosen = weights.findIndex((weight) => (at -= weight) < 0);
    return { kind: kinds[Math.max(0, chosen)]!, seed: random.next() };
  });
}

export async function simulate(seed: number, steps = stepsOf(seed)): Promise<Run> {
  await using folder = await makeTempDir();
  using world = await SimWorld.open(seed, folder.path);
  const simulation = new Simulation(world);
  try {
    for (const step of steps) await simulation.take(step);
    await simulation.heal();
    return { trace: simulation.trace, violation: undefined };
  } catch (violation) {
    return { trace: simulation.trace, violation };
  }
}

class Simulation {
  readonly trace: string[] = [];
  readonly #world: SimWorld;
  readonly #checks: Checks;

  constructor(world: SimWorld) {
    this.#world = world;
    this.#checks = new Checks(world.terms.tables);
    this.trace.push(JSON.stringify(world.terms));
  }

  async take({ kind, seed }: Step): Promise<void> {
    const random = new Random(seed);
    const site = random.pick(this.#world.members);
    this.#world.pass(random.below(3));
    await this.#take(kind, site, random);
  }

  async #take(kind: StepKind, site: Site, random: Random): Promise<void> {
    const { node } = site;
    const choose = (limit: number): number => random.below(limit);
    switch (kind) {
      case "write":
        return this.#write(site, random);
      case "round":
        return this.#say(site, await node.beginRound());
      case "send":
        return this.#say(site, await node.send(choose, randomFault(random)));
      case "mark":
        return this.#say(site, await node.mark(choose));
      case "consume":
        return void await this.#consume(site, random);
      case "exchange":
        return await this.#exchange(site, random);
      case "crash":
        this.#say(site, "is killed and started again");
        return await node.crash();
      case "clean":
        this.#say(site, "cleans up");
        return await node.cleanUp();
      case "alter":
        if (this.#world.terms.schemasDiffer) this.#say(site, "ALTER TABLE plain ADD COLUMN c");
        return this.#world.addColumn(site);
      default:
        return this.#passTime(kind, site, random);
    }
  }

  #passTime(kind: "late" | "window" | "tick", site: Site, random: Random): void {
    const { world } = { world: this.#world };
    if (kind === "late") {
      this.trace.push("what was delayed arrives");
      return world.broker.deliverLate();
    }
    const ms = kind === "window" ? 121_000 : random.pick([5, 500, 30_000, world.terms.expires ? 400_000 : 1]);
    world.pass(ms);
    if (random.chance(0.2)) site.skewMs = random.pick([0, -40_000, 40_000, 15_000]);
    this.trace.push(`${ms} ms pass; the clock of node ${site.number} is off by ${site.skewMs} ms`);
  }

  #write(site: Site, random: Random): void {
    const { application } = site;
    const statements = this.#world.writes.transaction(random, site.number, site.hasColumnC);
    const rollBack = random.chance(0.1);
    const { writes, ledger } = application.transact(statements, this.#world.clockOf(site), rollBack);
    this.#say(
      site,
      `writes${rollBack ? " and rolls back" : ""}: ${statements.map(({ sql }) => sql).join("; ")}`,
    );
    this.#note(site, writes);
    this.#checks.noteLedger(ledger);
    if (this.#world.terms.wholeTransactions) this.#noteGroups(ledger);
  }

  #note(site: Site, writes: readonly LoggedWrite[]): void {
    for (const { table, key, type, ts, x } of writes) {
      this.trace.push(`    ${type} ${table} (${key}) ${x} ts ${ts}`);
    }
    this.#checks.noteWrites(site, writes);
  }

  #noteGroups(ledger: readonly NonNullable<Statement["ledger"]>[]): void {
    const { shards } = this.#world.terms;
    const shardOfRow = ({ table, key }: NonNullable<Statement["ledger"]>): number =>
      table === "uniq" ? shardOfTable(table, shards) : shardOf(table, ["id"], [key.slice(1, -1)], shards);
    for (const rows of Map.groupBy(ledger, shardOfRow).values()) {
      this.#checks.noteGroup(rows.map(({ x }) => x.slice(1, -1)));
    }
  }

  /** False when there was nothing to read, or it waits. */
  async #consume(site: Site, random: Random, count = random.pick([1, 2, 5])): Promise<boolean> {
    const unread = site.node.unread();
    if (unread.length === 0) return false;
    const { stream, next } = random.pick(unread);
    site.application.skipCaptured();
    const applied = await site.node.consume(stream, count);
    this.#say(site, `reads ${stream} from #${next}${applied ? "" : ": waits for its schema"}`);
    this.#note(site, site.application.readCaptured());
    this.#checks.afterApplying(site);
    return applied;
  }

  /** A quiet moment: the node reads some, and sends what it has. */
  async #exchange(site: Site, random: Random): Promise<void> {
    for (let at = 0; at < 3; at++) await this.#consume(site, random);
    this.#say(site, await site.node.beginRound());
    await this.#sendAll(site, random);
  }

  async #sendAll({ number, node }: Site, random: Random): Promise<void> {
    const choose = (limit: number): number => random.below(limit);
    while (node.unsent > 0) this.trace.push(`node ${number} ${await node.send(choose)}`);
    while (node.isPublishing) this.trace.push(`node ${number} ${await node.mark(choose)}`);
  }

  /** Everything gets better, and time enough passes; then all must be well. */
  async heal(): Promise<void> {
    const random = new Random(5);
    this.trace.push("everything heals");
    this.#world.broker.deliverLate();
    for (const site of this.#world.members) {
      this.#world.addColumn(site);
      await site.node.crash();
    }
    for (let round = 0; await this.#settle(random); round++) {
      if (round === MOST_ROUNDS_TO_HEAL) throw new Error("LIVELOCK: it does not come to rest");
    }
    const { reference } = this.#world;
    while (await this.#consume(reference, random, 1000));
    this.#checks.atTheEnd(this.#world);
  }

  /** Whether anything was to do. */
  async #settle(random: Random): Promise<boolean> {
    let busy = false;
    for (const site of this.#world.members) {
      while (await this.#consume(site, random)) busy = true;
      this.#say(site, await site.node.beginRound());
      if (site.node.isPublishing) busy = true;
      await this.#sendAll(site, random);
    }
    return busy;
  }

  #say(site: Site, text: string): void {
    this.trace.push(`node ${site.number} ${text}`);
  }
}

function randomFault(random: Random): PublishFault | undefined {
  return random.chance(0.72)
    ? undefined
    : random.pick<PublishFault>(["lose-acknowledgement", "lose-message", "delay-message"]);
}
