/** A fenced block of a Markdown document. */
export interface Block {
  /** The heading that it stands under. */
  readonly section: string;
  readonly language: string;
  /** What the shell, or SQLite, takes one after the other; for other languages one text. */
  readonly statements: readonly string[];
}

/** The fenced blocks that name a language, in the order of the document. */
export function readBlocks(markdown: string): Block[] {
  const blocks: Block[] = [];
  let section = "";
  for (
    const match of markdown.matchAll(/^#+ (?<heading>.*)$|^```(?<language>\w+)\n(?<text>[\s\S]*?)^```$/gm)
  ) {
    const { heading, language, text = "" } = match.groups!;
    if (language === undefined) section = heading ?? section;
    else blocks.push({ section, language, statements: language === "sh" ? splitShell(text) : [text.trim()] });
  }
  return blocks;
}

/** A line is a statement, unless a loop goes on in those that follow. */
function splitShell(text: string): string[] {
  const statements: string[] = [];
  let open = "";
  for (const line of text.split("\n")) {
    open += open === "" ? line : `\n${line}`;
    if (/^for .* do$/m.test(open) && line !== "done") continue;
    if (open.trim() !== "") statements.push(open);
    open = "";
  }
  return statements;
}
