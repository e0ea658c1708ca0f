import { makeStyles, type Styles } from "./style.ts";
import { liveLines, plainLine, type Remark, type Scene, type Size } from "./view.ts";

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
/** Terminals that know it show all that comes between the two at once; others ignore it. */
const BEGIN_FRAME = "\x1b[?2026h";
const END_FRAME = "\x1b[?2026l";
const CLEAR_TO_LINE_END = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";

/** Where the demo shows itself. */
export interface Screen extends Disposable {
  readonly styles: Styles;
  /** How often a new scene is wanted. */
  readonly intervalMs: number;
  /** A line that stays. */
  say(line: string): void;
  /** The present state of things. */
  show(scene: Scene): void;
  /** Something has happened; the scene may repeat it. */
  remark(remark: Remark): void;
}

/** A live table on a terminal, one line a second elsewhere. */
export function openScreen(): Screen {
  return Deno.stdout.isTerminal() ? new TerminalScreen() : new PlainScreen();
}

class PlainScreen implements Screen {
  readonly styles = makeStyles(false);
  readonly intervalMs = 1_000;

  say(line: string): void {
    write(`${line}\n`);
  }

  show(scene: Scene): void {
    this.say(plainLine(scene));
  }

  remark({ text }: Remark): void {
    this.say(`       ${text}`);
  }

  [Symbol.dispose](): void {}
}

/** Draws each scene over the last one. The cursor is hidden only while there is one, and always comes back. */
class TerminalScreen implements Screen {
  readonly styles = makeStyles(!Deno.noColor);
  readonly intervalMs = 250;
  #drawnLines = 0;
  #size: Size = { columns: 80, rows: 24 };

  /** Below the table, which stays as it is: the next scene is drawn below the line. */
  say(line: string): void {
    write(`${line}\n`);
    this.#drawnLines = 0;
  }

  show(scene: Scene): void {
    const size = terminalSize();
    const lines = liveLines(scene, size, this.styles);
    const body = lines.map((line) => `${line}${CLEAR_TO_LINE_END}\n`).join("");
    write(`${BEGIN_FRAME}${HIDE_CURSOR}${this.#toStart(size)}${body}${CLEAR_BELOW}${END_FRAME}`);
    this.#drawnLines = lines.length;
    this.#size = size;
  }

  remark(): void {}

  [Symbol.dispose](): void {
    write(SHOW_CURSOR);
  }

  /** A terminal that was resized has wrapped the lines anew: nobody knows where they begin. */
  #toStart(size: Size): string {
    const isResized = this.#drawnLines > 0 &&
      (size.columns < this.#size.columns || size.rows < this.#size.rows);
    return isResized ? "\x1b[H\x1b[2J" : this.#toTop();
  }

  #toTop(): string {
    return this.#drawnLines > 0 ? `\x1b[${this.#drawnLines}A\r` : "";
  }
}

function terminalSize(): Size {
  try {
    const { columns, rows } = Deno.consoleSize();
    return columns > 0 && rows > 0 ? { columns, rows } : { columns: 80, rows: 24 };
  } catch {
    return { columns: 80, rows: 24 }; // Some terminals do not tell.
  }
}

/** At once, so that nothing is lost or mixed when the process exits. */
function write(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}
