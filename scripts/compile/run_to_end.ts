/** Runs a program; throws with what it said when it fails. */
export async function runToEnd(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Record<string, string> } = {},
): Promise<void> {
  const { success, code, stderr } = await new Deno.Command(command, {
    args: [...args],
    ...options,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  const reason = new TextDecoder().decode(stderr).trim().split("\n").slice(-5).join("\n");
  throw new Error(`Cannot run ${command} ${args[0]}: exit code ${code}: ${reason}`);
}
