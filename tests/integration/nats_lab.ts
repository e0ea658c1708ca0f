import { nkeys } from "@nats-io/transport-node";
import { runProgram } from "../support/process.ts";
import type { TempDir } from "../support/temp.ts";

/** Stands between a client and a server, and can fall silent as a broken network does. */
export class Proxy implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #target: number;
  #sockets: Deno.TcpConn[] = [];
  #frozen: Deno.TcpConn[] = [];

  constructor(target: number) {
    this.#target = target;
    void this.#accept();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** From now on nothing is read from the connections that are open, and nothing written; others work. */
  freeze(): void {
    this.#frozen.push(...this.#sockets.splice(0));
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const socket of [...this.#sockets, ...this.#frozen]) socket.close();
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: this.#target });
      this.#sockets.push(client, server);
      void this.#copy(client, server);
      void this.#copy(server, client);
    }
  }

  async #copy(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const buffer = new Uint8Array(65_536);
    try {
      while (!this.#frozen.includes(from)) {
        const size = await from.read(buffer);
        if (size === null) return to.closeWrite().catch(() => undefined);
        if (!this.#frozen.includes(from)) await to.write(buffer.subarray(0, size));
      }
    } catch {
      // Closed by either side.
    }
  }
}

/** An authority, and certificates by it for a server on loopback and a client; the same of a stranger. */
export async function makeCertificates(temp: TempDir): Promise<void> {
  for (const [ca, client] of [["ca", "client"], ["other-ca", "stranger"]] as const) {
    await openssl(
      "req",
      "-x509",
      "-nodes",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-days",
      "2",
    )(
      ...["-subj", `/CN=${ca}`, "-keyout", temp.file(`${ca}.key`), "-out", temp.file(`${ca}.pem`)],
      ...["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"],
    );
    await makeCertificate(temp, ca, client, "extendedKeyUsage=clientAuth");
  }
  await makeCertificate(
    temp,
    "ca",
    "server",
    "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost",
  );
}

async function makeCertificate(temp: TempDir, ca: string, name: string, extensions: string): Promise<void> {
  await Deno.writeTextFile(temp.file(`${name}.ext`), `basicConstraints=CA:FALSE\n${extensions}\n`);
  await openssl("req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")(
    ...["-subj", `/CN=${name}`, "-keyout", temp.file(`${name}.key`), "-out", temp.file(`${name}.csr`)],
  );
  await openssl("x509", "-req", "-days", "2", "-set_serial", "7")(
    ...["-in", temp.file(`${name}.csr`), "-CA", temp.file(`${ca}.pem`), "-CAkey", temp.file(`${ca}.key`)],
    ...["-extfile", temp.file(`${name}.ext`), "-out", temp.file(`${name}.pem`)],
  );
}

function openssl(...first: string[]): (...more: string[]) => Promise<string> {
  return (...more) => runProgram("openssl", [...first, ...more]);
}

/** An operator with one account, a user of it, and a user of an account that the server does not know. */
export function makeOperator(): { config: string; credentials: string; strangeCredentials: string } {
  const operator = nkeys.createOperator();
  const [account, system, strange] = [nkeys.createAccount(), nkeys.createAccount(), nkeys.createAccount()];
  const limits = {
    subs: -1,
    data: -1,
    payload: -1,
    imports: -1,
    exports: -1,
    wildcards: true,
    conn: -1,
    leaf: -1,
  };
  const jetStream = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const preload = [account, system].map((key) =>
    `${key.getPublicKey()}: ${
      sign(operator, key, { type: "account", limits: key === system ? limits : { ...limits, ...jetStream } })
    }`
  );
  const config = `operator: ${sign(operator, operator, { type: "operator" })}
    system_account: ${system.getPublicKey()}
    resolver: MEMORY
    resolver_preload { ${preload.join("\n")} }`;
  return { config, credentials: makeCredentials(account), strangeCredentials: makeCredentials(strange) };
}

type KeyPair = ReturnType<typeof nkeys.createUser>;

function makeCredentials(account: KeyPair): string {
  const user = nkeys.createUser();
  const claims = { type: "user", pub: {}, sub: {}, subs: -1, data: -1, payload: -1 };
  const seed = new TextDecoder().decode(user.getSeed());
  return [
    "-----BEGIN NATS USER JWT-----",
    sign(account, user, claims),
    "------END NATS USER JWT------",
    "",
    "-----BEGIN USER NKEY SEED-----",
    seed,
    "------END USER NKEY SEED------",
    "",
  ].join("\n");
}

/** A NATS JWT: what `issuer` says about `subject`. */
function sign(issuer: KeyPair, subject: KeyPair, claims: Record<string, unknown>): string {
  const body = [
    { typ: "JWT", alg: "ed25519-nkey" },
    {
      jti: crypto.randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      iss: issuer.getPublicKey(),
      name: "test",
      sub: subject.getPublicKey(),
      nats: { ...claims, version: 2 },
    },
  ].map((part) => encode(new TextEncoder().encode(JSON.stringify(part)))).join(".");
  return `${body}.${encode(issuer.sign(new TextEncoder().encode(body)))}`;
}

function encode(bytes: Uint8Array): string {
  return (bytes as Uint8Array & { toBase64(options: unknown): string })
    .toBase64({ alphabet: "base64url", omitPadding: true });
}
