import { type Check, fail, ok, skipped } from "./check.ts";
import { describeProcess, findOpenFiles } from "./processes.ts";

/** Whether a program still works on a file that was removed or replaced: what it writes is nowhere. */
export const openFiles: Check = {
  name: "open_files",
  run: ({ dbPath }) => {
    const path = folderOf(dbPath);
    const gone = ["", "-wal", "-shm", "-journal"].map((end) => `${path}${end} (deleted)`);
    const found = findOpenFiles((target) => gone.includes(target));
    if (found === undefined) return skipped("this system does not tell which files are open");
    // A program makes and removes these as it goes; only with a removed database they mean something.
    const wrong = found.filter(({ target }) => target === gone[0] || target === gone[1]);
    if (wrong.length === 0) return ok("Nobody has a removed database open");
    return fail(
      `${
        [...new Set(wrong.map(describeProcess))].join(", ")
      } still works on a database file that was removed or replaced`,
      "Start that program anew: what it writes there is lost.",
      { details: wrong.map(({ process, target }) => `${process}: ${target}`) },
    );
  },
};

/** With links in the folders resolved, as the system tells open files; the file itself may be gone. */
function folderOf(path: string): string {
  const at = path.lastIndexOf("/");
  try {
    return `${Deno.realPathSync(path.slice(0, at) || "/")}/${path.slice(at + 1)}`;
  } catch {
    return path; // Not even the folder is there.
  }
}
