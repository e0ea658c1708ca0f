import { type Check, fail, type Finding, ok, skipped, warn } from "./check.ts";

/** File systems whose locks other machines may not see, or that tell of no changes made elsewhere. */
const REMOTE =
  /^(nfs\d?|cifs|smb\d?|smbfs|sshfs|fuse\.sshfs|fuse\.rclone|fuse\.s3fs|glusterfs|fuse\.glusterfs|ceph|afs|davfs)$/;

/** Whether the database lies where SQLite's locks work. */
export const fileSystem: Check = {
  name: "file_system",
  run: ({ dbPath }) => {
    let mounts: string;
    try {
      mounts = Deno.readTextFileSync("/proc/self/mounts");
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      return skipped("this system does not tell what is mounted where"); // Only Linux has that file.
    }
    return judgeMount(dbPath, mounts);
  },
};

/** @param mounts in the form of `/proc/self/mounts`: device, folder, type, options */
export function judgeMount(path: string, mounts: string): Finding {
  const all = mounts.split("\n").map((line) => line.split(" ")).filter((parts) => parts.length >= 4)
    .map(([, folder = "", type = "", options = ""]) => ({ folder: unescape(folder), type, options }));
  // The last one of a folder hides those before it.
  const around = all.filter(({ folder }) => contains(folder, path));
  const longest = Math.max(...around.map(({ folder }) => folder.length));
  const mount = around.findLast(({ folder }) => folder.length === longest);
  if (mount === undefined) return skipped("this system does not tell what is mounted where");
  const { folder, type, options } = mount;
  if (options.split(",").includes("ro")) {
    return fail(`${folder}, where the database lies, is mounted read-only`, "Mount it for writing (rw).");
  }
  if (REMOTE.test(type)) {
    return warn(
      `The database lies on a network file system (${type} at ${folder})`,
      "Put it on a local disk: SQLite's locks and file events are not reliable there, and databases break.",
    );
  }
  return ok(`${type} at ${folder}`);
}

function contains(folder: string, path: string): boolean {
  return folder === "/" || path === folder || path.startsWith(`${folder}/`);
}

/** Blanks in names are written `\040`. */
function unescape(text: string): string {
  return text.replaceAll(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
