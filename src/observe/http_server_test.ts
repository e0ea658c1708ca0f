import assert from "node:assert/strict";
import { ConfigError } from "../lib/errors.ts";
import { type Page, servePages } from "./http_server.ts";
import { captureLogger } from "./logger.ts";

function page(path: string, changed: Partial<Page> = {}): Page {
  const answer = (): Response => new Response(`this is ${path}`);
  return { name: path.slice(1), setting: "a.bind", bind: "127.0.0.1:0", path, answer, ...changed };
}

Deno.test("pages with one address share a server, others are not found, and nothing is written", async () => {
  const logger = captureLogger();
  await using _server = await servePages([page("/a"), page("/b")], logger);
  const [first, second] = logger.lines.map(({ properties }) => String(properties["url"])) as [string, string];
  assert.equal(new URL(first).host, new URL(second).host);
  assert.equal(await (await fetch(first)).text(), "this is /a");
  assert.equal(await (await fetch(second)).text(), "this is /b");
  const missing = await fetch(new URL("/c", first));
  assert.deepEqual([missing.status, await missing.text()], [404, "Not found\n"]);
  const posted = await fetch(first, { method: "POST", body: "x" });
  assert.deepEqual([posted.status, await posted.text()], [405, "Only GET\n"]);
});

Deno.test("an address that is taken is a configuration error that names the setting, and nothing else is served", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const bind = `127.0.0.1:${taken.addr.port}`;
  const logger = captureLogger();
  const serve = (): Promise<AsyncDisposable> =>
    servePages([page("/a"), page("/metrics", { bind, setting: "prometheus.bind" })], logger);
  await assert.rejects(serve, (error) => {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.message, `Cannot serve metrics at "${bind}": another program listens there`);
    assert.match(error.hint!, /prometheus\.bind/);
    return true;
  });
  const [served] = logger.lines;
  await assert.rejects(fetch(String(served!.properties["url"])));
});

Deno.test("an answer that fails is logged, and tells nobody why", async () => {
  const logger = captureLogger();
  await using _server = await servePages(
    [page("/a", { answer: () => Promise.reject(new Error("inner")) })],
    logger,
  );
  const response = await fetch(String(logger.lines[0]!.properties["url"]));
  assert.deepEqual([response.status, await response.text()], [500, "Cannot answer\n"]);
  assert.equal(logger.lines.at(-1)!.properties["reason"], "inner");
});

Deno.test("without a host a page is served on all interfaces, and told by an address of this machine", async () => {
  const logger = captureLogger();
  await using _server = await servePages([page("/a", { bind: ":0" })], logger);
  const { url, bind } = logger.lines[0]!.properties as { url: string; bind: string };
  assert.match(bind, /^0\.0\.0\.0:\d+$/);
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/a$/);
  assert.equal(await (await fetch(url)).text(), "this is /a");
});
