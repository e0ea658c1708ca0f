import { dirname } from "node:path";

/** For what may be absent, after `catch`: any other failure is thrown on. */
export function unlessAbsent(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/** Undefined when there is none. */
export function statIfThere(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    return unlessAbsent(error);
  }
}

/** Whether something is there. */
export function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false; // What this user cannot see does not count.
  }
}

export function removeIfThere(path: string, options: Deno.RemoveOptions = {}): void {
  try {
    Deno.removeSync(path, options);
  } catch (error) {
    unlessAbsent(error);
  }
}

export function renameIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    unlessAbsent(error);
  }
}

/**
 * What root has made belongs to whom its folder does, who could not use it otherwise. Nothing happens for other users, and in a
 * program that is locked to the file without its folder.
 */
export function giveToFolderOwner(path: string): void {
  if (Deno.uid() !== 0 || Deno.statSync(path).uid !== 0) return;
  try {
    const { uid, gid } = Deno.statSync(dirname(path));
    if (uid !== null && gid !== null) Deno.chownSync(path, uid, gid);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
  }
}

/** Writes a text that only this user may read. Crash point: the old file or the new one is there, never half of one. */
export function replacePrivately(path: string, text: string): void {
  const temporary = `${path}.${Deno.pid}.tmp`;
  Deno.writeTextFileSync(temporary, text, { mode: 0o600 });
  Deno.renameSync(temporary, path);
}
