import type { NatsConnection, PermissionViolationError, Status } from "@nats-io/transport-node";

/** What someone who depends on the connection must hear at once, rather than after a time-out. */
export interface LinkListener {
  connected?(): void;
  disconnected?(): void;
  /** The server did not let us publish or subscribe. */
  refused?(error: PermissionViolationError): void;
}

/** Whether the connection is up, told to its listeners when it changes. */
export class Link implements Disposable {
  readonly #connection: NatsConnection;
  readonly #statuses: AsyncIterable<Status>;
  readonly #listeners = new Set<LinkListener>();
  #up: boolean;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    this.#statuses = connection.status();
    this.#up = connection.info !== undefined;
    void this.#follow();
  }

  get up(): boolean {
    return this.#up && !this.#connection.isClosed();
  }

  /** Closed for good: on purpose, as the client reconnects for ever. */
  get closed(): boolean {
    return this.#connection.isClosed();
  }

  /** Returns the function that ends it. */
  listen(listener: LinkListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves when the connection is up or closed for good; rejects with the signal's reason when aborted. */
  waitUntilUp(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.up || this.closed) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal.reason);
    const ignore = this.listen({ connected: resolve, disconnected: () => this.closed && resolve() });
    signal.addEventListener("abort", onAbort, { once: true });
    return promise.finally(() => {
      ignore();
      signal.removeEventListener("abort", onAbort);
    });
  }

  [Symbol.dispose](): void {
    this.#listeners.clear();
    // The library's iterator has a `stop`; without it the connection would keep feeding an iterator nobody reads.
    (this.#statuses as { stop?: () => void }).stop?.();
  }

  async #follow(): Promise<void> {
    for await (const status of this.#statuses) {
      if (status.type === "reconnect") this.#change(true);
      else if (status.type === "disconnect" || status.type === "close") this.#change(false);
      else if (status.type === "error") this.#refuse(status.error);
    }
    this.#change(false);
  }

  #change(up: boolean): void {
    this.#up = up;
    for (const listener of [...this.#listeners]) {
      if (up) listener.connected?.();
      else listener.disconnected?.();
    }
  }

  #refuse(error: Error): void {
    if (error.name !== "PermissionViolationError") return;
    for (const listener of [...this.#listeners]) listener.refused?.(error as PermissionViolationError);
  }
}
