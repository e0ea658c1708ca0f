/** Which way bytes go: to the server or from it. */
export type Direction = "up" | "down";

const LOOPBACK = "127.0.0.1";

/** A TCP proxy on loopback that can cut its connections, or let them hang, after so many bytes. */
export class CuttingProxy implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: LOOPBACK, port: 0 });
  readonly #target: number;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #pumps = new Set<Promise<void>>();
  readonly #left: Record<Direction, number> = { up: Infinity, down: Infinity };
  readonly #serving: Promise<void>;
  #hangs = false;
  #thaw = Promise.withResolvers<void>();

  constructor(target: number) {
    this.#target = target;
    this.#serving = this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** After so many more bytes all connections are closed, and new ones at once. */
  cutAfter(bytes: number, direction: Direction): void {
    this.#left[direction] = bytes;
  }

  /** After so many more bytes nothing goes on, and nobody hears of it. */
  hangAfter(bytes: number, direction: Direction): void {
    this.#left[direction] = bytes;
    this.#hangs = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.#closeAll();
    this.#thaw.resolve();
    await this.#serving;
    await Promise.all(this.#pumps);
  }

  get #isCut(): boolean {
    return this.#left.up <= 0 || this.#left.down <= 0;
  }

  async #serve(): Promise<void> {
    for await (const client of this.#listener) {
      if (this.#isCut && !this.#hangs) {
        client.close();
        continue;
      }
      const server = await Deno.connect({ hostname: LOOPBACK, port: this.#target });
      this.#connections.add(client).add(server);
      this.#start(this.#pump(client, server, "up"));
      this.#start(this.#pump(server, client, "down"));
    }
  }

  #start(pump: Promise<void>): void {
    this.#pumps.add(pump);
    void pump.then(() => this.#pumps.delete(pump));
  }

  async #pump(from: Deno.TcpConn, to: Deno.TcpConn, direction: Direction): Promise<void> {
    const buffer = new Uint8Array(64 << 10);
    try {
      for (let length = await from.read(buffer); length !== null; length = await from.read(buffer)) {
        const passed = buffer.subarray(0, Math.max(0, Math.min(length, this.#left[direction])));
        for (let done = 0; done < passed.length;) done += await to.write(passed.subarray(done));
        this.#left[direction] -= length;
        if (this.#isCut && this.#hangs) await this.#thaw.promise;
        if (this.#isCut) return this.#closeAll();
      }
      await to.closeWrite();
    } catch {
      this.#close(from); // One side is gone, so the other one has to go.
      this.#close(to);
    }
  }

  #closeAll(): void {
    for (const connection of [...this.#connections]) this.#close(connection);
  }

  #close(connection: Deno.TcpConn): void {
    if (this.#connections.delete(connection)) connection.close();
  }
}
