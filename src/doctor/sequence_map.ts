import { readPositions } from "../apply/position.ts";
import { ProcessLock } from "../capture/process_lock.ts";
import { messageOf } from "../lib/errors.ts";
import { countText } from "../lib/quantities.ts";
import { POSITION } from "../schema/names.ts";
import { hasTable } from "../schema/own_tables.ts";
import { type Check, type Finding, ok, warn } from "./check.ts";
import type { Patient } from "./patient.ts";

/** Whether the file that mirrors the positions is there and can be read. The positions in the database count. */
export const sequenceMap: Check = {
  name: "sequence_map",
  run: async (patient, signal) => {
    const { seqMapPath } = patient.config;
    const positions = await patient.read(
      (database) => hasTable(database, POSITION) ? readPositions(database) : [],
      signal,
    );
    const known = new Map(positions.map(({ stream, sequence }) => [stream, sequence]));
    try {
      const map = patient.sequenceMap.read();
      if (map === undefined) {
        return judgeMissing(patient.config.seqMapPath, known, await patient.runs(signal));
      }
      const ahead = [...map].filter(([stream, sequence]) => sequence > (known.get(stream) ?? 0));
      if (ahead.length === 0) return ok(`${countText(map.size, "stream")} in ${seqMapPath}`);
      return warn(
        `${seqMapPath} is ahead of the database: ${ahead.map(([stream]) => stream).join(", ")}`,
        "The database is an older copy, or the file is that of another one; the next start goes by the database and writes it anew.",
        { fix: rewrite(patient, known) },
      );
    } catch (error) {
      return warn(
        messageOf(error),
        "Nothing is lost: the next start writes it anew from the database, as does `harmonylite doctor --fix`.",
        { fix: rewrite(patient, known) },
      );
    }
  },
};

function judgeMissing(path: string, known: ReadonlyMap<string, number>, runs: boolean): Finding {
  if (known.size === 0) return ok("There is none yet, and nothing to put into it");
  const text = `There is no ${path}`;
  if (!runs) {
    return warn(
      text,
      "The next start recovers from the newest snapshot, if there is one, and writes it anew.",
    );
  }
  return ok(
    `${text}: the node writes it within cleanup_interval; one that was removed stays away until the next start`,
  );
}

/** Never beside a node, which writes it itself. */
function rewrite(patient: Patient, known: ReadonlyMap<string, number>): Finding["fix"] {
  if (patient.process !== undefined) return undefined;
  return () => {
    using _lock = ProcessLock.acquire(patient.config.dbPath);
    patient.sequenceMap.write(known);
    return Promise.resolve(`Written anew: ${patient.config.seqMapPath}`);
  };
}
