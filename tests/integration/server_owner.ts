/** A process to be killed: starts a nats-server as a node does, with a connection to it or without, and says so. */
import { launchServer } from "../../src/nats/server_launch.ts";
import { renderServerConfig } from "../../src/nats/server_config.ts";
import { natsServerBinary } from "../support/nats_server.ts";

const [dir, connects] = Deno.args;
await Deno.writeTextFile(
  `${dir}/nats.conf`,
  renderServerConfig({
    name: "test",
    listen: { host: "127.0.0.1", port: -1 },
    monitor: undefined,
    storeDir: `${dir}/store`,
    cluster: undefined,
    leafs: [],
    user: undefined,
    own: undefined,
  }),
);
const server = await launchServer({
  binary: await natsServerBinary(),
  configPath: `${dir}/nats.conf`,
  inCluster: false,
  onLine: () => {},
  signal: new AbortController().signal,
});
if (connects === "true") await Deno.connect({ hostname: "127.0.0.1", port: server.port });
console.log(`ready ${server.url} ${server.process}`);
await server.ended;
