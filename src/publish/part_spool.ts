import { release } from "../lib/memory.ts";
import type { Database } from "../sqlite/database.ts";

/** Contents of parts that stay in memory; what comes after lies on disk until it is sent. */
const MAX_BYTES_IN_MEMORY = 1 << 20;

const SPOOL = "temp.harmonylite_spool";

/**
 * Where the parts of a round wait until they are sent: a batch is named after all that is in it, so none can go before the
 * last one is made. A temporary table holds what is too much for memory; it vanishes with the connection.
 */
export class PartSpool {
  readonly #database: Database;
  #bytesInMemory = 0;
  #spooled = 0n;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Keeps a part and returns how to get it back, which is possible until {@link clear}. */
  keep(data: Uint8Array): () => Uint8Array {
    if (this.#bytesInMemory + data.length <= MAX_BYTES_IN_MEMORY) {
      this.#bytesInMemory += data.length;
      return () => data;
    }
    if (this.#spooled === 0n) {
      this.#database.exec("PRAGMA temp.cache_size = -256");
      this.#database.exec(`CREATE TABLE IF NOT EXISTS ${SPOOL} (id INTEGER PRIMARY KEY, data BLOB)`);
    }
    const id = ++this.#spooled;
    this.#database.run(`INSERT INTO ${SPOOL} VALUES (?, ?)`, id, data);
    release(data);
    return () => this.#database.value(`SELECT data FROM ${SPOOL} WHERE id = ?`, id) as Uint8Array;
  }

  /** Forgets all parts. */
  clear(): void {
    if (this.#spooled > 0n) this.#database.exec(`DROP TABLE IF EXISTS ${SPOOL}`);
    this.#bytesInMemory = 0;
    this.#spooled = 0n;
  }
}
