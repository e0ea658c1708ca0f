import { formatAddress, localAddress, parseListenAddress } from "../config/listen_address.ts";
import { ConfigError, messageOf } from "../lib/errors.ts";
import type { Logger } from "./logger.ts";

export type Handler = (request: Request) => Response | Promise<Response>;

/** Something to be served. */
export interface Page {
  /** What it is, for the log: `metrics`. */
  readonly name: string;
  /** The setting that says where: `prometheus.bind`. */
  readonly setting: string;
  /** Its value: `127.0.0.1:3010`, `:3010`. Pages with the same share a server. */
  readonly bind: string;
  readonly path: string;
  readonly answer: Handler;
}

/**
 * Serves pages, read-only, until it is disposed. Rejects with a ConfigError when an address cannot be listened on; nothing is
 * served then.
 */
export async function servePages(pages: readonly Page[], logger: Logger): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  for (const sharing of Map.groupBy(pages, ({ bind }) => bind).values()) {
    const server = serve(sharing, logger);
    stack.defer(() => server.shutdown());
  }
  return stack.move();
}

function serve(pages: readonly Page[], logger: Logger): Deno.HttpServer<Deno.NetAddr> {
  const [{ bind, setting, name }] = pages as [Page];
  const { host, port } = parseListenAddress(bind);
  const handlers = new Map(pages.map(({ path, answer }) => [path, answer]));
  const onListen = (): void => {}; // Said below, with the path.
  const onError = (error: unknown): Response => {
    logger.error("Unable to answer an HTTP request", { reason: messageOf(error) });
    return new Response("Cannot answer\n", { status: 500 });
  };
  try {
    const server = Deno.serve(
      { hostname: host, port, onListen, onError },
      (request) => route(handlers, request),
    ) as Deno.HttpServer<Deno.NetAddr>;
    for (const page of pages) {
      const address = localAddress({ host, port: server.addr.port });
      logger.info(`Serving ${page.name}`, {
        url: `http://${address}${page.path}`,
        bind: formatAddress({ host, port: server.addr.port }),
      });
    }
    return server;
  } catch (cause) {
    throw new ConfigError(`Cannot serve ${name} at "${bind}": ${reasonOf(cause)}`, {
      cause,
      hint: `Set ${setting} to an address of this machine and a port that is free.`,
    });
  }
}

async function route(handlers: ReadonlyMap<string, Handler>, request: Request): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("Only GET\n", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  const handler = handlers.get(new URL(request.url).pathname);
  return await handler?.(request) ?? new Response("Not found\n", { status: 404 });
}

function reasonOf(cause: unknown): string {
  return cause instanceof Deno.errors.AddrInUse ? "another program listens there" : messageOf(cause);
}
