import { Replica } from "../../src/agent/replica.ts";
import type { Position } from "../../src/apply/position.ts";
import { simLogger } from "./sim_process.ts";
import { SimApplication } from "./sim_application.ts";
import { tablesAt } from "./schema_changes.ts";
import type { SimWorld } from "./sim_world.ts";

/** Higher than that of any site. */
const ID = 99n;

/**
 * What the streams alone say: a node that never writes, has made every schema change and reads all from the beginning.
 */
export class Reference implements Disposable {
  readonly path: string;
  readonly application: SimApplication;
  readonly #replica: Replica;

  private constructor(path: string, application: SimApplication, replica: Replica) {
    this.path = path;
    this.application = application;
    this.#replica = replica;
  }

  static async read(world: SimWorld): Promise<Reference> {
    const config = world.outsider(ID);
    const { tables, schemaChanges } = world.terms;
    const signal = new AbortController().signal;
    const say = (text: string): void => void world.trace.push(`the reference ${text}`);
    const replica = await Replica.open(config, { signal, logger: simLogger(say) });
    const options = { clock: () => world.time.nowMs, recursiveTriggers: false };
    const application = new SimApplication(config.dbPath, tables, options);
    const reference = new Reference(config.dbPath, application, replica);
    for (const [at, { sql }] of schemaChanges.entries()) {
      application.alter(sql, tablesAt(tables, schemaChanges, at + 1), at + 1);
      await replica.schema.refresh();
    }
    for (const { name } of world.broker.list()) await reference.#readStream(world, name, signal);
    return reference;
  }

  async #readStream({ broker, archive }: SimWorld, stream: string, signal: AbortSignal): Promise<void> {
    const { created, last } = broker.find(stream)!;
    const all = archive.messages(stream);
    const shard = Number(stream.split("-").at(-1));
    let position: Position = { stream, shard, created, sequence: 0, time: 0n };
    while (position.sequence < last) position = await this.#replica.messages.apply(position, all, signal);
  }

  [Symbol.dispose](): void {
    this.application[Symbol.dispose]();
    this.#replica[Symbol.dispose]();
  }
}
