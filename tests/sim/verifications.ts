import { decodeKey, encodeKey } from "../../src/verify/key.ts";
import type { NodeResult } from "../../src/verify/comparison.ts";
import { verdictOf } from "../../src/verify/verify.ts";
import { messageOf, StreamError } from "../../src/lib/errors.ts";
import type { Random } from "./random.ts";
import type { SimKey } from "./sim_application.ts";
import type { Site } from "./site.ts";
import { canDecay, type SimTable } from "./tables.ts";
import type { SimWorld } from "./sim_world.ts";
import { Violation } from "./violation.ts";

/** Undefined when the node died, or was out of reach. */
type Results = NodeResult[] | undefined;

const ROUND_MS = 100;
const MOST_ROUNDS = 300;

/** Nodes that compare their rows, and rows that went behind the back of capture: these must be found, and no others. */
export class Verifications {
  readonly #world: SimWorld;
  /** Rows that have gone from one node, by table and key. */
  readonly #decayed = new Set<string>();
  #running = 0;
  /** What was found where nothing may be. */
  failure: unknown;

  constructor(world: SimWorld) {
    this.#world = world;
  }

  get isRunning(): boolean {
    return this.#running > 0;
  }

  /** A row that all nodes have goes from one as on a damaged disk: nothing captures it. */
  decay(site: Site, random: Random): void {
    const { application, followedTables } = site;
    const tables = followedTables.filter(canDecay);
    if (tables.length === 0) return;
    const table = random.pick(tables);
    const whole = application.versionedKeys(table).filter((key) =>
      this.#world.sites.every((each) => each.application.hasRow(table, key))
    );
    if (whole.length === 0) return;
    const key = random.pick(whole);
    this.#decayed.add(identity(table, key));
    application.decay(table, key);
    this.#world.say(site, `loses ${table.name} (${key.join()}), and nothing has seen it`);
  }

  /** Asks a node to compare itself with all others. It goes on while other things happen. */
  async ask(site: Site, repair: boolean): Promise<{ readonly results: Promise<Results> }> {
    this.#world.say(site, `is asked to verify${repair ? " and repair" : ""}`);
    const { promise: results, resolve } = Promise.withResolvers<Results>();
    await this.#world.time.run(site.process, () => resolve(this.#verify(site, repair)));
    return { results };
  }

  async #verify(site: Site, repair: boolean): Promise<Results> {
    this.#running++;
    const before = this.#streamsKnownToAll();
    try {
      const results = await site.process.verify({ repair });
      const failures = results.map(({ failure }) => failure ?? "").filter(Boolean);
      this.#world.say(site, `has verified: ${[verdictOf(results), ...failures].join("; ")}`);
      const after = this.#streamsKnownToAll();
      if (after !== undefined && after === before) this.#check(results);
      return results;
    } catch (error) {
      if (!(error instanceof StreamError)) this.failure ??= error;
      this.#world.say(site, `could not verify: ${messageOf(error)}`);
      return undefined;
    } finally {
      this.#running--;
    }
  }

  /** One node compares itself with all others: it repairs what has gone, and then nothing differs any more. */
  async verifyAll(random: Random, goOn: () => Promise<void>): Promise<void> {
    const { sites, time } = this.#world;
    const site = random.pick(sites);
    if (sites.every(({ id }) => id === site.id)) return;
    for (const repair of [true, false]) {
      let isDone = false;
      const asked = await this.ask(site, repair);
      const results = asked.results.finally(() => isDone = true);
      for (let round = 0; !isDone; round++) {
        if (round === MOST_ROUNDS) throw new Violation("LIVELOCK: verifying does not end");
        await goOn();
        await time.pass(ROUND_MS);
      }
      if (!repair) checkEqual(await results);
    }
  }

  /**
   * Undefined while a stream was created anew and a node has not noticed: it takes what it sends to the new one for read when
   * it had read more of the old one.
   */
  #streamsKnownToAll(): string | undefined {
    const { broker, sites } = this.#world;
    const streams = broker.list();
    const areKnown = sites.every((site) => {
      const positions = site.positions();
      return streams.every(({ name, created }) => (positions.get(name)?.created ?? created) === created);
    });
    return areKnown ? streams.map(({ created }) => created).join() : undefined;
  }

  #check(results: readonly NodeResult[]): void {
    for (const { node, tables } of results) {
      for (const { kind, differences } of tables) {
        const wrong = differences.find(({ here }) => !this.#decayed.has(`${kind.table} ${here.key.toHex()}`));
        if (!wrong) continue;
        const key = decodeKey(wrong.here.key).join();
        throw new Violation(`FALSE ALARM: ${kind.table} (${key}) is said to differ from node ${node}`);
      }
    }
  }
}

function checkEqual(results: Results): void {
  if (results && verdictOf(results) === "equal") return;
  const failures = results?.map(({ failure }) => failure).join();
  throw new Violation(`VERIFY: ${results ? verdictOf(results) : "it did not end"} ${failures ?? ""}`);
}

function identity({ name }: SimTable, key: SimKey): string {
  return `${name} ${encodeKey(key).toHex()}`;
}
