import type { CommandName } from "./command.ts";

interface Option {
  /** What stands for its value in the help; without one it is a switch. */
  readonly value?: string;
  readonly commands: readonly CommandName[];
  /** The setting that it beats. */
  readonly key?: string;
  readonly help: string;
}

const WITH_CONFIG = [
  "run",
  "stop",
  "status",
  "check",
  "doctor",
  "verify",
  "snapshot",
  "schema",
  "conflicts",
  "ids",
  "cleanup",
] as const;

/** How many conflicts are shown. */
export const DEFAULT_LIMIT = 20;

/** Every option. Those that are called like a command stand for it: `-check` is `check`. */
export const OPTIONS: Readonly<Record<string, Option>> = {
  config: {
    value: "FILE",
    commands: WITH_CONFIG,
    help: "Configuration; else ./config.toml, then /etc/harmonylite/config.toml.",
  },
  "db-path": { value: "FILE", commands: [...WITH_CONFIG, "init"], key: "db_path", help: "Beats db_path." },
  "node-id": { value: "N", commands: [...WITH_CONFIG, "init"], key: "node_id", help: "Beats node_id." },
  "nats-urls": {
    value: "LIST",
    commands: [...WITH_CONFIG, "init"],
    key: "nats.urls",
    help: "Beats nats.urls; parted by commas.",
  },
  "cluster-addr": {
    value: "ADDRESS",
    commands: [...WITH_CONFIG, "init"],
    key: "nats.cluster_addr",
    help: "Beats nats.cluster_addr.",
  },
  "cluster-peers": {
    value: "LIST",
    commands: [...WITH_CONFIG, "init"],
    key: "nats.cluster_peers",
    help: "Beats nats.cluster_peers; parted by commas.",
  },
  "leaf-servers": {
    value: "LIST",
    commands: [...WITH_CONFIG, "init"],
    key: "nats.leaf_servers",
    help: "Beats nats.leaf_servers; parted by commas.",
  },
  verbose: { commands: WITH_CONFIG, key: "logging.verbose", help: "Beats logging.verbose." },
  all: { commands: ["cleanup"], help: "Remove every trace: versions, positions and clock too." },
  "discard-pending": {
    commands: ["cleanup"],
    help: "Go on when pending changes cannot be sent: they are lost.",
  },
  repair: { commands: ["verify"], help: "Give each row that differs its higher version, on whichever node." },
  fix: { commands: ["doctor"], help: "Put right what is safe to put right, and look again." },
  bundle: {
    value: "FILE",
    commands: ["doctor"],
    help: "Write an archive (.tar.gz) for those who help, secrets removed.",
  },
  first: { value: "N", commands: ["ids"], help: "First id of this node; default: a range by its node_id." },
  last: { value: "N", commands: ["ids"], help: "Last id of this node." },
  table: { value: "NAME", commands: ["conflicts"], help: "Show those of this table." },
  limit: {
    value: "N",
    commands: ["conflicts"],
    help: `Show at most this many, ${DEFAULT_LIMIT} unless said.`,
  },
  generation: {
    value: "N",
    commands: ["snapshot"],
    help: "Which snapshot: its number in the list, where 1 is the newest, or its name.",
  },
  until: {
    value: "TIME",
    commands: ["snapshot"],
    help:
      "Restore up to this moment, as 2026-11-21T15:54:03Z: what the streams hold is applied to a snapshot.",
  },
  output: { value: "FILE", commands: ["snapshot"], help: "Write the snapshot to this file." },
  cluster: { commands: ["schema"], help: "Ask the schema registry for those of the other nodes too." },
  watch: { commands: ["status"], help: "Show it anew each second until Ctrl-C." },
  json: {
    commands: ["status", "doctor", "verify", "snapshot", "schema", "conflicts", "ids"],
    help: "For programs.",
  },
  replace: { commands: ["conflicts"], help: "Delete rows that hold UNIQUE values of the row to put back." },
  force: { commands: ["init", "snapshot"], help: "Write over a file that exists." },
};
