import { address, integer, list, path, section, text } from "./setting.ts";

const PREFIX = { form: /^[\w-]+$/, formText: "made of letters, digits, - and _" };
const SUBJECT = { form: /^[\w-]+(\.[\w-]+)*$/, formText: "made of letters, digits, - and _, parted by dots" };

/** The table `[nats]`. */
export const NATS_SETTINGS = section("The NATS servers that carry the changes.", {
  urls: list({
    default: [],
    secret: true, // A URL may carry a password.
    judge: judgeNatsUrl,
    help: "Servers to connect to; one that answers is enough. Empty: this node runs a server of its own.",
  }),
  subject_prefix: text({
    ...SUBJECT,
    default: "harmonylite-change-log",
    help:
      "Subjects are named after it, one a shard. Equal on all nodes. Two clusters on one server need two of these, too.",
  }),
  stream_prefix: text({
    ...PREFIX,
    default: "harmonylite-changes",
    help:
      "Streams are named after it, one a shard. Equal on all nodes. Two clusters on one server need two of these.",
  }),
  seed_file: path({ default: "", file: "must exist", help: "NKey seed to log in with." }),
  creds_file: path({
    default: "",
    file: "must exist",
    help: "Credentials file (JWT and seed) to log in with.",
  }),
  user_name: text({
    default: "",
    help: "User to log in with. Our own server lets only this one in, unless server_config says who may.",
  }),
  user_password: text({ default: "", secret: true, help: "Password of that user." }),
  ca_file: path({
    default: "",
    file: "must exist",
    help: "Certificate authority that signed the servers (PEM).",
  }),
  cert_file: path({ default: "", file: "must exist", help: "Client certificate (PEM), with key_file." }),
  key_file: path({ default: "", file: "must exist", help: "Private key of the client certificate (PEM)." }),
  bind_address: address({
    default: "",
    minPort: -1,
    defaultText: "a free port on 127.0.0.1",
    help: "Where our own server listens, when urls is empty. Port -1: a free one.",
  }),
  monitor_address: address({
    default: "",
    minPort: 1,
    defaultText: "none",
    help: "Where our own server tells how it is doing: http://127.0.0.1:8222/varz, /jsz.",
  }),
  cluster_addr: address({
    default: "",
    minPort: 1,
    defaultText: "none",
    help: "Where our own server listens for those of other nodes. It is part of a cluster then.",
  }),
  cluster_peers: list({
    default: [],
    secret: true, // A URL may carry a password.
    judge: judgeServer,
    help:
      "The cluster_addr of other nodes, nats://host:port; one that answers is enough, all are better. dns://host:port: every address of a host.",
  }),
  leaf_servers: list({
    default: [],
    secret: true, // A URL may carry a password.
    judge: judgeServer,
    help:
      "Servers that ours is a leaf node of, nats://host:port: they have the streams. With ?hub=true ours has them, for that server.",
  }),
  server_config: path({
    default: "",
    file: "must exist",
    help:
      "Configuration file for our own server, in nats-server's format. What it sets goes over the settings here.",
  }),
  connect_retries: integer({
    default: 5,
    min: 0,
    max: 1_000_000,
    unit: "attempts",
    help: "How often the first connection is tried again. Later ones are tried for ever.",
  }),
  reconnect_wait_seconds: integer({
    default: 2,
    min: 0,
    max: 86_400,
    unit: "s",
    help: "Pause between two attempts.",
  }),
});

function judgeNatsUrl(url: string): string | undefined {
  const withScheme = url.includes("://") ? url : `nats://${url}`;
  if (!/^(nats|tls):\/\//.test(withScheme)) return "it must begin with nats:// or tls://";
  const host = URL.parse(withScheme)?.hostname ?? "";
  return host === "" ? "it must be nats://host:port" : undefined;
}

/** Servers name no port of their own for routes and leaf nodes, so one must be given. */
function judgeServer(url: string): string | undefined {
  const isServer =
    /^((nats|tls|nats-route|dns):\/\/)?([^@/\s]*@)?(\[[0-9a-fA-F:.]+\]|[^\s:[\]/@?]+):\d{1,5}\/?(\?\S*)?$/
      .test(url);
  return isServer ? undefined : "it must be nats://host:port or dns://host:port";
}
