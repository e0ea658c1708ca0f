export interface TempDir extends AsyncDisposable {
  readonly path: string;
  /** The path of a file in the folder. */
  file(name: string): string;
}

/** A new empty folder that is removed, with all that is in it, when the scope ends. `inside`: where it lies. */
export async function makeTempDir(inside?: string): Promise<TempDir> {
  const path = await Deno.makeTempDir({ prefix: "harmonylite-", ...inside && { dir: inside } });
  return {
    path,
    file: (name) => `${path}/${name}`,
    [Symbol.asyncDispose]: () => removeAll(path),
  };
}

/** A process that was killed a moment ago may still create a file between listing and removing a folder. */
async function removeAll(path: string): Promise<void> {
  for (let attempt = 1;; attempt++) {
    try {
      return await Deno.remove(path, { recursive: true });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      if (attempt === 5) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50 * attempt));
    }
  }
}
