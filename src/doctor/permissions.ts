import { basename, dirname } from "node:path";
import { judgeDatabaseAccess } from "../config/paths.ts";
import { secretsOf } from "../config/config.ts";
import { countText } from "../lib/quantities.ts";
import { type Check, fail, type Finding, ok, skipped, warn } from "./check.ts";
import type { Patient } from "./patient.ts";

const OTHERS = 0o007;

/** Whether this user may do what a node does, and other users may not read what is ours. */
export const permissions: Check = {
  name: "permissions",
  run: async (patient) => {
    const { dbPath } = patient;
    if (Deno.build.os === "windows") return skipped("Windows has no such permissions");
    const folder = dirname(dbPath);
    if (!isThere(folder)) {
      return fail(
        `There is no folder ${folder}`,
        "Make it, owned by the user who runs the node: chown, chmod 750; or correct db_path.",
      );
    }
    const denied = isThere(dbPath) ? await judgeDatabaseAccess(dbPath) : undefined;
    if (denied !== undefined) {
      return fail(
        `A node cannot work: ${denied}`,
        `Let this user (id ${Deno.uid()}) read and write the database and its folder: chown, chmod.`,
      );
    }
    const own = openToOthers(ownFiles(patient));
    if (own.length > 0) return openFiles(own);
    const secret = openToOthers(secretFiles(patient));
    if (secret.length > 0) {
      return warn(
        "Every user of this machine can read secrets of this node",
        "Close them, as the user who runs the node must be able to read them: chmod o-rwx FILE.",
        { details: secret },
      );
    }
    return ok(`user ${Deno.uid()} may read and write ${folder}`);
  },
};

/** One that is not there is for another check. */
function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound);
  }
}

function openFiles(paths: readonly string[]): Finding {
  return warn(
    `${countText(paths.length, "file")} of this node can be read by every user of this machine`,
    "`harmonylite doctor --fix` closes them.",
    {
      details: paths,
      fix: () => {
        for (const path of paths) Deno.chmodSync(path, Deno.statSync(path).mode! & 0o770);
        return Promise.resolve(`Closed to other users: ${paths.join(", ")}`);
      },
    },
  );
}

/** What HarmonyLite has made, without the database: that is the application's. */
function ownFiles({ config }: Patient): string[] {
  const folder = dirname(config.dbPath);
  const start = `${basename(config.dbPath)}-harmonylite`;
  const beside = [...Deno.readDirSync(folder)].filter(({ name }) => name.startsWith(start));
  return [
    ...beside.map(({ name }) => `${folder}/${name}`),
    config.seqMapPath,
    ...config.logging.file === "" ? [] : [config.logging.file],
  ];
}

/** What others have made for this node, and holds secrets. */
function secretFiles({ config, inspected }: Patient): string[] {
  const { seedFile, credsFile, keyFile } = config.nats;
  const files = [seedFile, credsFile, keyFile, config.snapshot.sftp.keyFile].filter((path) => path !== "");
  const hasSecrets = inspected.file !== undefined &&
    secretsOf(config).some((secret) => inspected.text?.includes(secret));
  return hasSecrets ? [inspected.file!, ...files] : files;
}

function openToOthers(paths: readonly string[]): string[] {
  return paths.filter((path) => {
    try {
      const { mode } = Deno.statSync(path);
      return mode !== null && (mode & OTHERS) !== 0;
    } catch {
      return false; // Not there: nobody reads it.
    }
  });
}
