import { HarmonyLiteError, messageOf } from "../../src/lib/errors.ts";
import { type Generation, parseManifest } from "../../src/snapshot/manifest.ts";
import type { Actions } from "./actions.ts";
import type { Random } from "./random.ts";
import type { SimProcess } from "./sim_process.ts";
import type { SimWorld } from "./sim_world.ts";
import type { Beginning, Site } from "./site.ts";

const MOST_TURNS = 150;
const MOST_TURNS_UNSENT = 30;
const MOST_NODES = 8;
const HOUR_MS = 3_700_000;
const MANIFEST = "snapshot.json";

/** Snapshots, what becomes of streams because there are some, and nodes that need one. */
export class Snapshots {
  readonly #world: SimWorld;
  readonly #actions: Actions;
  /** Who is taking one: of the processes of a cluster one has the lease (see `src/snapshot/lease.ts`, which has real timers). */
  #taker: SimProcess | undefined;
  /** What went wrong where nothing may. */
  failure: unknown;

  constructor(world: SimWorld, actions: Actions) {
    this.#world = world;
    this.#actions = actions;
  }

  /** A node begins to take one; often other things happen until it is done, or it is left to go on by itself. */
  async take(site: Site, random: Random): Promise<void> {
    if (!await this.#begin(site)) return;
    if (random.chance(0.3)) return;
    await this.#goOn(site, random, random.chance(0.5));
  }

  async #begin({ process, number }: Site): Promise<boolean> {
    const { sites, time } = this.#world;
    if (sites.some((each) => each.process === this.#taker)) return false;
    this.#taker = process;
    const say = (text: string): void => void this.#world.trace.push(`node ${number} ${text}`);
    say("begins a snapshot");
    const end = (): void => void (this.#taker = undefined);
    await time.run(process, () => {
      process.takeSnapshot().then(
        ({ positions }) => say(`has taken a snapshot at ${positions.map(textOf).join()}`),
        (error) => {
          if (!(error instanceof HarmonyLiteError)) this.failure ??= error;
          say(`has taken no snapshot: ${messageOf(error)}`);
        },
      ).finally(end);
    });
    return true;
  }

  /** Until it is taken, or given up. */
  async #goOn(site: Site, random: Random, isQuiet: boolean): Promise<void> {
    const { sites, time } = this.#world;
    for (let turn = 0; this.#taker === site.process && turn < MOST_TURNS; turn++) {
      const other = !isQuiet && random.chance(0.3) ? random.pick(sites) : site;
      const { waiting } = other.process.gates;
      if (!isQuiet && random.chance(0.07)) await this.#actions.write(other, random);
      else if (waiting.length > 0) await this.#actions.open(other, random.pick(waiting), random);
      else await time.pass(random.pick([5, 250]));
    }
  }

  /** A stream loses messages, at most those that the newest snapshot holds. */
  truncate(random: Random): void {
    const truncatable = this.#covered().filter(({ stream, sequence }) => this.#firstOf(stream) <= sequence);
    if (truncatable.length === 0) return;
    const { stream, sequence } = random.pick(truncatable);
    const first = this.#firstOf(stream);
    this.#truncate(
      stream,
      random.chance(0.5) ? sequence + 1 : first + 1 + random.below(sequence + 1 - first),
    );
  }

  /** A node is away with writes of its own; the others go on, and the streams lose what they have in a snapshot. */
  async leave(site: Site, random: Random): Promise<void> {
    const others = this.#world.sites.filter((each) => each !== site && !each.isCut);
    if (others.length === 0) return;
    if (random.chance(0.7)) await this.#actions.write(site, random);
    if (random.chance(0.3)) await this.#actions.exchange(site, random, random.below(6));
    const wasCut = site.isCut;
    this.#actions.cut(site, true);
    for (let round = random.pick([1, 1, 2]); round > 0; round--) {
      for (const other of [...others, ...others]) {
        if (random.chance(0.5)) await this.#actions.write(other, random);
        await this.#actions.exchange(other, random);
      }
      if (random.chance(0.3)) await this.#world.time.pass(HOUR_MS);
      const taker = random.pick(others);
      if (await this.#begin(taker)) await this.#goOn(taker, random, true);
      for (const { stream, sequence } of this.#covered()) {
        if (random.chance(0.8)) this.#truncate(stream, sequence + 1);
      }
    }
    if (random.chance(0.5)) await this.#actions.write(site, random);
    this.#actions.cut(site, wasCut);
    await this.#interrupt(site, random);
  }

  /** A node may die while it takes a snapshot over, perhaps when some of its rows are in its database. */
  async #interrupt(site: Site, random: Random): Promise<void> {
    while (random.chance(0.4)) {
      await this.#actions.exchange(site, random, random.below(25));
      if (random.chance(0.3)) await this.#actions.write(site, random);
      await this.#actions.restart(site, site.limits);
    }
  }

  /** The machine dies with its disk, and starts again with nothing. */
  async lose(site: Site, random: Random): Promise<void> {
    if (site.isCut || !this.#newest()) return;
    if (random.chance(0.6)) await this.#takeUnsent(site, random);
    await this.#lose(site, random);
    await this.#interrupt(site, random);
  }

  /** Takes a snapshot and sends nothing meanwhile: what is in no stream must not be in the snapshot. */
  async #takeUnsent(site: Site, random: Random): Promise<void> {
    if (random.chance(0.6)) await this.#actions.exchange(site, random);
    if (random.chance(0.4)) await this.#actions.write(site, random);
    if (!await this.#begin(site)) return;
    if (random.chance(0.7)) await this.#actions.write(site, random);
    for (let turn = 0; this.#taker === site.process && turn < MOST_TURNS_UNSENT; turn++) {
      const gate = site.process.gates.waiting.find(({ kind }) => kind === "object");
      if (gate) await this.#actions.open(site, gate, random);
      else await this.#world.time.pass(250);
    }
  }

  async #lose(site: Site, random: Random): Promise<void> {
    const beginning: Beginning = random.pick(["nothing", "empty file"]);
    this.#actions.say(site, `dies and starts again with ${beginning}`);
    await this.#actions.replace(site, () => site.lose(beginning));
  }

  /** Once nothing is pending any more nothing may be lost with a disk. Whether one was. */
  async loseAtTheEnd(random: Random): Promise<boolean> {
    if (!this.#newest() || random.chance(0.3)) return false;
    await this.#lose(random.pick(this.#world.sites), random);
    return true;
  }

  /** Another node joins, if there is something to start from: rows that were there at first are in no stream. */
  async join(random: Random): Promise<Site | undefined> {
    const { sites, terms, trace } = this.#world;
    if (sites.length === MOST_NODES) return undefined;
    const hasSnapshot = this.#newest() !== undefined;
    if (!hasSnapshot && terms.hasFirstRows) return undefined;
    const beginning: Beginning = hasSnapshot
      ? random.pick(["nothing", "empty file", "database"])
      : "database";
    trace.push(`node ${sites.length + 1} joins with ${beginning}`);
    return await this.#world.join(beginning, random);
  }

  /** Somebody removes the sequence map, as a wish to recover, and starts the node again. */
  async forgetMap(site: Site, random: Random): Promise<void> {
    this.#actions.say(site, "loses its sequence map");
    site.removeSequenceMap();
    await this.#actions.restart(site, site.limits);
    await this.#interrupt(site, random);
  }

  #truncate(stream: string, first: number): void {
    if (first <= this.#firstOf(stream)) return;
    this.#world.trace.push(`${stream} is truncated: its first message is #${first}`);
    this.#world.archive.truncate(stream, first);
  }

  #firstOf(stream: string): number {
    return this.#world.broker.find(stream)!.first;
  }

  /** Where the newest snapshot stands in the streams that there are. */
  #covered(): Generation["positions"] {
    const positions = this.#newest()?.positions ?? [];
    return positions.filter(({ stream, created }) => this.#world.broker.find(stream)?.created === created);
  }

  #newest(): Generation | undefined {
    const manifest = this.#world.objects.get(MANIFEST);
    if (!manifest) return undefined;
    return parseManifest(new TextDecoder().decode(manifest.bytes), MANIFEST)[0];
  }
}

function textOf({ stream, sequence }: Generation["positions"][number]): string {
  return `${stream} #${sequence}`;
}
