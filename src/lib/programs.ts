/** Whether this process may start any program: one that is locked to its configuration may not, and sees no PATH. */
export function mayRunPrograms(): boolean {
  return Deno.permissions.querySync({ name: "run" }).state === "granted";
}

/** The full path of a program, found the way a shell does: in the folders of PATH, first one first. */
export function findProgram(name: string, path: string = Deno.env.get("PATH") ?? ""): string | undefined {
  for (const folder of path.split(Deno.build.os === "windows" ? ";" : ":")) {
    if (folder === "") continue;
    const candidate = `${folder}/${name}${Deno.build.os === "windows" ? ".exe" : ""}`;
    if (isExecutable(candidate)) return candidate;
  }
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    const { isFile, mode } = Deno.statSync(path);
    return isFile && (mode === null || (mode & 0o111) !== 0);
  } catch {
    return false; // Whatever cannot be looked at cannot be run either.
  }
}
