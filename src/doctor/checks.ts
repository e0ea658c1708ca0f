import { capture } from "./capture.ts";
import type { Check } from "./check.ts";
import { clock } from "./clock.ts";
import { configuration } from "./configuration.ts";
import { databaseFile } from "./database_file.ts";
import { diskSpace } from "./disk_space.ts";
import { fileSystem } from "./file_system.ts";
import { foreignKeys } from "./foreign_keys.ts";
import { integrity } from "./integrity.ts";
import { jetstream } from "./jetstream.ts";
import { journalMode } from "./journal_mode.ts";
import { layout } from "./layout.ts";
import { locks } from "./locks.ts";
import { nats } from "./nats.ts";
import { node } from "./node.ts";
import { numberKeys } from "./number_keys.ts";
import { openFiles } from "./open_files.ts";
import { others } from "./others.ts";
import { overridden } from "./overridden.ts";
import { owner } from "./owner.ts";
import { pending } from "./pending.ts";
import { permissions } from "./permissions.ts";
import { ports } from "./ports.ts";
import { progress } from "./progress.ts";
import { quarantined } from "./quarantined.ts";
import { schema } from "./schema.ts";
import { sequenceMap } from "./sequence_map.ts";
import { snapshots } from "./snapshots.ts";
import { snapshotStore } from "./snapshot_store.ts";
import { version } from "./sqlite_version.ts";
import { streams } from "./streams.ts";
import { tables } from "./tables.ts";
import { twins } from "./twins.ts";

/** All checks, in the order in which they are made and told: what the others rest on comes first. */
export const CHECKS: readonly Check[] = [
  configuration,
  node,
  permissions,
  fileSystem,
  diskSpace,
  ports,
  databaseFile,
  version,
  journalMode,
  locks,
  openFiles,
  integrity,
  foreignKeys,
  capture,
  tables,
  numberKeys,
  owner,
  pending,
  quarantined,
  overridden,
  sequenceMap,
  nats,
  jetstream,
  streams,
  layout,
  progress,
  schema,
  twins,
  others,
  clock,
  snapshotStore,
  snapshots,
];
