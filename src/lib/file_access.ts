import process from "node:process";

/** What is wanted of a file, or a folder: the bits of its mode. */
export const READ = 4;
export const WRITE = 2;
export const EXECUTE = 1;

/** Whose files are whose, and for whom they are open. */
export interface Ownership {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** Somebody who wants to use a file. */
export interface User {
  readonly uid: number;
  /** All groups that the user is in. */
  readonly gids: readonly number[];
}

/** Who this process runs as; undefined on Windows. */
export function currentUser(): User | undefined {
  const uid = Deno.uid();
  const gid = Deno.gid();
  if (uid === null || gid === null) return undefined;
  return { uid, gids: [gid, ...process.getgroups?.() ?? []] };
}

/**
 * Whether a user may read, write, enter: the rule of the system, by owner, group and others; root may all. Deno's own `access` knows
 * neither root nor any group but the first, and opening a file to find out would drop SQLite's locks on it.
 */
export function mayUse(file: Ownership, wanted: number, user: User): boolean {
  if (user.uid === 0) return true;
  const shift = file.uid === user.uid ? 6 : user.gids.includes(file.gid) ? 3 : 0;
  return ((file.mode >> shift) & wanted) === wanted;
}
