import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Config } from "../../src/config/config.ts";
import { connectToNats } from "../../src/nats/connection.ts";
import { startNatsServer } from "../support/nats_server.ts";
import { configOf, SMALL_BYTES, type StoreLab } from "./snapshot_store_lab.ts";

const USER = "keeper";
const PASSWORD = "nats-passw0rd";

function serverConfig(room: string): string {
  return `
    authorization { user: "${USER}", password: "${PASSWORD}" }
    jetstream { max_file_store: ${room} }`;
}

function tomlOf(port: number, bucket: string, password = PASSWORD): string {
  return `
    [nats]
    urls = ["nats://127.0.0.1:${port}"]
    user_name = "${USER}"
    user_password = "${password}"
    [snapshot.nats]
    bucket = "${bucket}"`;
}

/** JetStream's object store; a folder is a bucket. */
export async function startNatsLab(): Promise<StoreLab> {
  await using starting = new AsyncDisposableStack();
  const server = starting.use(await startNatsServer({ config: serverConfig("8GB") }));
  const stack = starting.move();
  const connect = async ({ nats }: Config): Promise<NatsConnection> => {
    const { urls, userName, userPassword } = nats;
    const options = { urls, userName, userPassword, connectRetries: 1, reconnectWaitSeconds: 0, name: "lab" };
    const connection = await connectToNats(options, { signal: new AbortController().signal });
    stack.defer(() => connection.close());
    return connection;
  };
  const connection = await connect(configOf(tomlOf(server.port, "any")));
  const { streams } = await jetstreamManager(connection);
  return {
    adapter: `NatsStore, nats-server ${connection.info?.version}`,
    port: server.port,
    secrets: [PASSWORD],
    toml: (bucket, { port = server.port, wrongSecret } = {}) =>
      tomlOf(port, bucket, wrongSecret ? "wr0ngpass" : undefined),
    connect,
    leftovers: async (bucket, objects) => {
      const { state } = await streams.info(`OBJ_${bucket}`, { subjects_filter: ">" });
      const subjects = Object.keys(state.subjects ?? {});
      const chunks = subjects.filter((subject) => subject.startsWith(`$O.${bucket}.C.`));
      const records = subjects.filter((subject) => subject.startsWith(`$O.${bucket}.M.`));
      return [...chunks.slice(objects.length), ...records.slice(objects.length)];
    },
    damage: async (bucket) => {
      await streams.deleteMessage(`OBJ_${bucket}`, 5);
    },
    fullCodes: ["STORE_FULL"],
    startSmall: async () => {
      const small = stack.use(await startNatsServer({ config: serverConfig(`${SMALL_BYTES >> 20}MB`) }));
      return tomlOf(small.port, "small");
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
