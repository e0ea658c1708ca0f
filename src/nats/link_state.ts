import type { NatsConnection } from "@nats-io/transport-node";

/** Whether a connection is up, and since when. */
export class LinkState {
  readonly #connection: NatsConnection;
  #connected = true;
  #sinceMs = Date.now();

  /** Of a connection that is up; it follows it until that is closed. */
  constructor(connection: NatsConnection) {
    this.#connection = connection;
    void this.#follow();
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Since when it is as it is, Unix milliseconds. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** `host:port`, or the last one while it is not connected. */
  get server(): string {
    return this.#connection.getServer();
  }

  async #follow(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type === "reconnect") this.#change(true);
      else if (type === "disconnect" || type === "close") this.#change(false);
    }
    this.#change(false);
  }

  #change(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#sinceMs = Date.now();
  }
}
