import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { connectToNats } from "../../src/nats/connection.ts";
import { NatsStore } from "../../src/snapshot/nats_store.ts";
import { startNatsServer } from "../support/nats_server.ts";
import { type OpenOptions, SMALL_BYTES, type StoreLab } from "./snapshot_store_lab.ts";

const USER = { userName: "keeper", userPassword: "nats-passw0rd" };
const CONFIG = (room: string): string => `
authorization { user: "${USER.userName}", password: "${USER.userPassword}" }
jetstream { max_file_store: ${room} }`;

/** JetStream's object store; a folder is a bucket. */
export async function startNatsLab(): Promise<StoreLab> {
  await using starting = new AsyncDisposableStack();
  const server = starting.use(await startNatsServer({ config: CONFIG("4GB") }));
  const stack = starting.move();
  const connect = async (port: number, userPassword = USER.userPassword): Promise<NatsConnection> => {
    const options = {
      urls: [`nats://127.0.0.1:${port}`],
      connectRetries: 1,
      reconnectWaitSeconds: 0,
      name: "lab",
    };
    const signal = new AbortController().signal;
    const connection = await connectToNats({ ...options, ...USER, userPassword }, { signal });
    stack.defer(() => connection.close());
    return connection;
  };
  const adminConnection = await connect(server.port);
  const admin = await jetstreamManager(adminConnection);
  return {
    adapter: `NatsStore, nats-server ${adminConnection.info?.version}`,
    port: server.port,
    secrets: [USER.userPassword],
    open: async (bucket: string, { port = server.port, limits, wrongSecret = false }: OpenOptions = {}) => {
      const connection = await connect(port, wrongSecret ? "wrong" : undefined);
      return new NatsStore({ connection, bucket, replicas: 1 }, limits);
    },
    leftovers: async (bucket, objects) => {
      const { state } = await admin.streams.info(`OBJ_${bucket}`, { subjects_filter: ">" });
      const subjects = Object.keys(state.subjects ?? {});
      const chunks = subjects.filter((subject) => subject.startsWith(`$O.${bucket}.C.`));
      const records = subjects.filter((subject) => subject.startsWith(`$O.${bucket}.M.`));
      return [...chunks.slice(objects.length), ...records.slice(objects.length)];
    },
    damage: async (bucket) => {
      await admin.streams.deleteMessage(`OBJ_${bucket}`, 5);
    },
    openSmall: async () => {
      const small = stack.use(await startNatsServer({ config: CONFIG(`${SMALL_BYTES >> 20}MB`) }));
      return new NatsStore({ connection: await connect(small.port), bucket: "small", replicas: 1 });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
