import assert from "node:assert/strict";
import { type NatsConnection, nkeys } from "@nats-io/transport-node";
import { StreamError } from "../../src/lib/errors.ts";
import { type ConnectionStatus, connectToNats, type NatsOptions } from "../../src/nats/connection.ts";
import { eventually } from "../support/eventually.ts";
import {
  freePort,
  type NatsServer,
  type NatsServerOptions,
  startNatsServer,
} from "../support/nats_server.ts";
import { makeTempDir } from "../support/temp.ts";
import { makeCertificates, makeOperator, Proxy } from "./nats_lab.ts";

const SECRET = "s3cr3t:with@signs";

function connect(
  options: Partial<NatsOptions> & { urls: string[] },
  onStatus?: (status: ConnectionStatus) => void,
  signal: AbortSignal = AbortSignal.timeout(60_000),
): Promise<NatsConnection> {
  return connectToNats(
    { connectRetries: 1, reconnectWaitSeconds: 0.1, name: "harmonylite-test", ...options },
    { signal, ...onStatus === undefined ? {} : { onStatus } },
  );
}

/** Connects, makes a round trip, and closes. */
async function assertWorks(options: Partial<NatsOptions> & { urls: string[] }): Promise<void> {
  const connection = await connect(options);
  try {
    await connection.flush();
  } finally {
    await connection.close();
  }
}

/** So many rounds end with a refusal. */
const ROUNDS = 2;

/** Expects that each of the rounds that are allowed ends with a refusal, in a message of one line that holds no secret. */
async function assertRefused(
  options: Partial<NatsOptions> & { urls: string[] },
  code: string,
  message: RegExp,
): Promise<void> {
  const rounds: ConnectionStatus[] = [];
  const connecting = connect({ ...options, connectRetries: ROUNDS }, (status) => rounds.push(status));
  await assert.rejects(connecting, (error) => {
    assert.ok(error instanceof StreamError, String(error));
    assert.match(error.message, /^Failed to connect to NATS/);
    assert.match(error.message, message);
    assert.deepEqual([error.code, error.transient], [code, false], error.message);
    assert.ok(error.hint);
    const text = [error.message, error.hint, String(error.cause), String(error.stack)].join("\n");
    assert.doesNotMatch(text, /s3cr3t|with@signs|SUA[A-Z0-9]{20}/);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
  // A file that cannot be used is not tried out on a server.
  const expected = code === "BAD_CREDENTIALS" ? 0 : ROUNDS - 1;
  assert.deepEqual(rounds.map(({ type }) => type), Array(expected).fill("waiting"));
}

async function withServer(
  options: NatsServerOptions,
  run: (server: NatsServer) => Promise<void>,
): Promise<void> {
  await using server = await startNatsServer(options);
  await run(server);
}

Deno.test("a user and a password are accepted, also from the URL, and wrong ones refused in each round", async () => {
  const config = `authorization { user: edge, password: "${SECRET}" }`;
  await withServer({ config }, async ({ url, port }) => {
    await assertWorks({ urls: [url], userName: "edge", userPassword: SECRET });
    await assertWorks({ urls: [`nats://edge:${encodeURIComponent(SECRET)}@127.0.0.1:${port}`] });
    await assertWorks({ urls: [`nats://edge:${SECRET}@127.0.0.1:${port}`] });
    await assertRefused({ urls: [url] }, "AUTHORIZATION", /Authorization Violation/);
    const wrong = { urls: [url], userName: "edge", userPassword: `${SECRET}!` };
    await assertRefused(wrong, "AUTHORIZATION", /Authorization Violation/);
    const wrongUrl = { urls: [`nats://edge:${SECRET}!@127.0.0.1:${port}`] };
    await assertRefused(wrongUrl, "AUTHORIZATION", /at 127\.0\.0\.1:\d+: .*Authorization Violation/);
  });
});

Deno.test("a cluster refuses, too, and its other servers are learnt from the first one", async () => {
  const [port, clusterPort] = [freePort(), freePort()];
  const config = `authorization { user: edge, password: "${SECRET}" }
    cluster { name: c, listen: "127.0.0.1:${clusterPort}" }`;
  const other = `authorization { user: edge, password: "${SECRET}" }
    cluster { name: c, listen: "127.0.0.1:${freePort()}", routes: ["nats://127.0.0.1:${clusterPort}"] }`;
  const login = { userName: "edge", userPassword: SECRET };
  await withServer({ port, config, jetStream: false }, async (first) => {
    await withServer({ config: other, jetStream: false }, async (second) => {
      await eventually("they know each other", () => second.process.log.has("Route connection created"));
      await assertRefused({ urls: [first.url] }, "AUTHORIZATION", /Authorization Violation/);
      const returned = new Set<string>();
      const follow = (name: string) => ({ type }: ConnectionStatus): void =>
        void (type === "reconnected" && returned.add(name));
      const connection = await connect({ urls: [first.url], ...login }, follow("any"));
      const loyal = await connect({ urls: [first.url], ...login, noOthers: true }, follow("loyal"));
      await first.kill();
      await eventually("the other server is used", () => returned.has("any"));
      await first.start();
      await eventually("the first server is used again", () => returned.has("loyal"));
      assert.equal(connection.getServer(), `127.0.0.1:${second.port}`);
      assert.equal(loyal.getServer(), `127.0.0.1:${first.port}`);
      await Promise.all([connection.close(), loyal.close()]);
    });
  });
});

Deno.test("a token in the URL is accepted", async () => {
  await withServer({ config: `authorization { token: "${SECRET}" }` }, async ({ port }) => {
    await assertWorks({ urls: [`nats://${encodeURIComponent(SECRET)}@127.0.0.1:${port}`] });
  });
});

Deno.test("an nkey seed is accepted, and another one refused", async () => {
  await using temp = await makeTempDir();
  const [user, stranger] = [nkeys.createUser(), nkeys.createUser()];
  await Deno.writeFile(temp.file("seed"), user.getSeed());
  const seed = new TextDecoder().decode(user.getSeed());
  const decorated = `-----BEGIN USER NKEY SEED-----\r\n${seed}\r\n------END USER NKEY SEED------\r\n`;
  await Deno.writeTextFile(temp.file("newline"), `${seed}\n`);
  await Deno.writeTextFile(temp.file("decorated"), decorated);
  await Deno.writeFile(temp.file("stranger"), stranger.getSeed());
  await Deno.writeTextFile(temp.file("broken"), "SUAGARBAGE");
  const config = `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`;
  await withServer({ config }, async ({ url }) => {
    await assertWorks({ urls: [url], seedFile: temp.file("seed") });
    await assertWorks({ urls: [url], seedFile: temp.file("newline") });
    await assertWorks({ urls: [url], seedFile: temp.file("decorated") });
    const refused = (name: string, code: string, message: RegExp): Promise<void> =>
      assertRefused({ urls: [url], seedFile: temp.file(name) }, code, message);
    await refused("stranger", "AUTHORIZATION", /Authorization Violation/);
    await refused("broken", "BAD_CREDENTIALS", /seed file ".*broken" is not usable/);
    await refused("missing", "BAD_CREDENTIALS", /cannot read seed file ".*missing"/);
  });
});

Deno.test("a credentials file is accepted, and another one refused", async () => {
  await using temp = await makeTempDir();
  const { config, credentials, strangeCredentials } = makeOperator();
  await Deno.writeTextFile(temp.file("user.creds"), credentials);
  await Deno.writeTextFile(temp.file("trimmed.creds"), credentials.trim().replaceAll("\n", "\r\n"));
  await Deno.writeTextFile(temp.file("stranger.creds"), strangeCredentials);
  await Deno.writeTextFile(temp.file("broken.creds"), "nothing");
  await withServer({ config }, async ({ url }) => {
    await assertWorks({ urls: [url], credsFile: temp.file("user.creds") });
    await assertWorks({ urls: [url], credsFile: temp.file("trimmed.creds") });
    const refused = (name: string, code: string, message: RegExp): Promise<void> =>
      assertRefused({ urls: [url], credsFile: temp.file(name) }, code, message);
    await refused("stranger.creds", "AUTHORIZATION", /Authorization Violation/);
    await refused("broken.creds", "BAD_CREDENTIALS", /credentials file ".*broken.creds" is not usable/);
    await refused("missing.creds", "BAD_CREDENTIALS", /cannot read credentials file/);
  });
});

Deno.test("a server certificate is checked against the configured authority", async () => {
  await using temp = await makeTempDir();
  await makeCertificates(temp);
  const config = `tls { cert_file: "${temp.file("server.pem")}", key_file: "${temp.file("server.key")}" }`;
  await withServer({ config }, async ({ url, port }) => {
    await assertWorks({ urls: [url], caFile: temp.file("ca.pem") });
    await assertWorks({ urls: [`tls://127.0.0.1:${port}`], caFile: temp.file("ca.pem") });
    await assertWorks({ urls: [`tls://localhost:${port}`], caFile: temp.file("ca.pem") });
    const untrusted = /certificate|UnknownIssuer/i;
    await assertRefused({ urls: [url], caFile: temp.file("other-ca.pem") }, "NOT_CONNECTED", untrusted);
    await assertRefused({ urls: [url] }, "NOT_CONNECTED", untrusted);
    const missing = { urls: [url], caFile: temp.file("missing.pem") };
    await assertRefused(missing, "BAD_CREDENTIALS", /cannot read ca file ".*missing\.pem"/);
  });
});

Deno.test("a client certificate is shown to a server that demands it", async () => {
  await using temp = await makeTempDir();
  await makeCertificates(temp);
  const config = `tls {
    cert_file: "${temp.file("server.pem")}", key_file: "${temp.file("server.key")}",
    ca_file: "${temp.file("ca.pem")}", verify: true
  }`;
  await withServer({ config }, async ({ url }) => {
    const caFile = temp.file("ca.pem");
    const certFile = temp.file("client.pem");
    const keyFile = temp.file("client.key");
    await assertWorks({ urls: [url], caFile, certFile, keyFile });
    const strange = { caFile, certFile: temp.file("stranger.pem"), keyFile: temp.file("stranger.key") };
    await assertRefused({ urls: [url], caFile }, "NOT_CONNECTED", /demands a client certificate/);
    // What the client gets to see of the refusal, an alert or a reset, is a race between the two.
    await assert.rejects(
      connect({ urls: [url], ...strange }),
      /^StreamError: Failed to connect to NATS at 127/,
    );
  });
});

Deno.test("a tls:// address never falls back to plain text", async () => {
  await withServer({}, async ({ port }) => {
    await assertRefused({ urls: [`tls://127.0.0.1:${port}`] }, "NOT_CONNECTED", /tls/);
  });
});

Deno.test("the first connection is tried for as many rounds as configured", async () => {
  const urls = [`nats://edge:${SECRET}@127.0.0.1:${freePort()}`, `nats://127.0.0.1:${freePort()}`];
  const statuses: ConnectionStatus[] = [];
  await assert.rejects(connect({ urls, connectRetries: 3 }, (status) => statuses.push(status)), (error) => {
    assert.ok(error instanceof StreamError);
    const expected = /^Failed to connect to NATS at 127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+ \(3 attempts\): /;
    assert.match(error.message, expected);
    assert.match(error.message, /refused/);
    return error.transient;
  });
  assert.deepEqual(statuses.map((status) => [status.type, "round" in status && status.round]), [
    ["waiting", 1],
    ["waiting", 2],
  ]);
});

Deno.test("a server that comes up between two rounds is found", async () => {
  const port = freePort();
  const waiting = Promise.withResolvers<void>();
  const connecting = connect({ urls: [`nats://127.0.0.1:${port}`], connectRetries: 200 }, (status) => {
    if (status.type === "waiting") waiting.resolve();
  });
  await waiting.promise;
  await withServer({ port }, async () => {
    const connection = await connecting;
    await connection.flush();
    await connection.close();
  });
});

Deno.test("waiting for the next round ends when aborted", async () => {
  const stop = new AbortController();
  const options = {
    urls: [`nats://127.0.0.1:${freePort()}`],
    connectRetries: 5,
    reconnectWaitSeconds: 3_600,
  };
  const connecting = connect(options, () => stop.abort(new Error("stopped")), stop.signal);
  await assert.rejects(connecting, /^Error: stopped$/);
});

Deno.test("a lost connection comes back, and both are told", async () => {
  await using server = await startNatsServer();
  const statuses: ConnectionStatus[] = [];
  const connection = await connect({ urls: [server.url] }, (status) => statuses.push(status));
  const types = (): string[] => statuses.map(({ type }) => type);
  await server.kill();
  await eventually("the loss is told", () => types().includes("disconnected"));
  await server.start();
  await eventually("the return is told", () => types().includes("reconnected"));
  await connection.flush();
  await connection.close();
  await eventually("the end is told", () => types().at(-1) === "closed");
});

Deno.test("a peer that vanished without a word is noticed, though much was on its way to it", async () => {
  await using server = await startNatsServer();
  using proxy = new Proxy(server.port);
  const lost = Promise.withResolvers<void>();
  const back = Promise.withResolvers<void>();
  const connection = await connectToNats({
    urls: [`nats://127.0.0.1:${proxy.port}`],
    connectRetries: 1,
    reconnectWaitSeconds: 0.1,
    name: "harmonylite-test",
  }, {
    signal: AbortSignal.timeout(60_000),
    pingIntervalMs: 100,
    onStatus: ({ type }) =>
      type === "disconnected" ? lost.resolve() : type === "reconnected" && back.resolve(),
  });
  proxy.freeze();
  for (let i = 0; i < 50; i++) connection.publish("into.the.void", new Uint8Array(1_000_000));
  await lost.promise;
  await back.promise;
  await connection.flush();
  await connection.close();
});

Deno.test("a secret that is refused for a while does not end the connection", async () => {
  await using temp = await makeTempDir();
  const auth = (password: string): Promise<void> =>
    Deno.writeTextFile(temp.file("auth.conf"), `authorization { user: edge, password: "${password}" }`);
  await auth("one");
  const args = ["-c", temp.file("auth.conf")];
  await withServer({ args }, async (server) => {
    const statuses: ConnectionStatus[] = [];
    const options = { urls: [server.url], userName: "edge", userPassword: "one" };
    const connection = await connect(options, (status) => statuses.push(status));
    await auth("two");
    await server.restart();
    const refusals = (): number => statuses.filter(({ type }) => type === "error").length;
    await eventually("it was refused several times", () => refusals() >= 4);
    assert.equal(connection.isClosed(), false);
    await auth("one");
    await server.restart();
    await eventually("it is connected again", () => statuses.some(({ type }) => type === "reconnected"));
    await connection.flush();
    await connection.close();
  });
});

Deno.test("a rotated seed is used when the connection comes back", async () => {
  await using temp = await makeTempDir();
  const [before, after] = [nkeys.createUser(), nkeys.createUser()];
  const allow = (user: typeof before): Promise<void> =>
    Deno.writeTextFile(
      temp.file("auth.conf"),
      `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`,
    );
  await Deno.writeFile(temp.file("seed"), before.getSeed());
  await allow(before);
  await withServer({ args: ["-c", temp.file("auth.conf")] }, async (server) => {
    let reconnected = 0;
    const connection = await connect({ urls: [server.url], seedFile: temp.file("seed") }, (status) => {
      if (status.type === "reconnected") reconnected++;
    });
    await Deno.remove(temp.file("seed"));
    await server.restart();
    await eventually("it comes back with what it read before", () => reconnected === 1);
    await Deno.writeFile(temp.file("seed"), after.getSeed());
    await allow(after);
    await server.restart();
    await eventually("it comes back with the new seed", () => reconnected === 2);
    await connection.close();
  });
});
