/** How a piece of text looks; what the terminal's own colours are is the user's choice. */
const CODES = { bold: "1", dim: "2", red: "31", green: "32", yellow: "33", cyan: "36" } as const;

export type Style = (text: string) => string;
export type Styles = Readonly<Record<keyof typeof CODES, Style>>;

/** Without colour every style leaves its text alone. */
export function makeStyles(color: boolean): Styles {
  const style = (code: string): Style => color ? (text) => `\x1b[${code}m${text}\x1b[0m` : (text) => text;
  return Object.fromEntries(Object.entries(CODES).map(([name, code]) => [name, style(code)])) as Styles;
}

// deno-lint-ignore no-control-regex
const ESCAPE_SEQUENCE = /\x1b\[[0-9;]*m/g;

/** Columns that the text takes on a terminal; all our characters are one wide. */
export function visibleLength(text: string): number {
  return [...text.replace(ESCAPE_SEQUENCE, "")].length;
}

/** Cuts a text to so many columns; styles go on working. */
export function fit(text: string, width: number): string {
  if (visibleLength(text) <= width) return text;
  let left = Math.max(0, width - 1);
  // deno-lint-ignore no-control-regex
  const pieces = text.match(/\x1b\[[0-9;]*m|[^\x1b]/gu) ?? [];
  const kept = pieces.filter((piece) => piece.startsWith("\x1b") || left-- > 0);
  return `${kept.join("")}…`;
}

const BARS = "▁▂▃▄▅▆▇█";

/** One bar a value, the highest for `max`; a blank stands for nothing at all. */
export function sparkline(values: readonly number[], max: number): string {
  return values.map((value) => {
    if (value <= 0 || max <= 0) return " ";
    return BARS[Math.min(BARS.length - 1, Math.floor(value / max * BARS.length))];
  }).join("");
}

export function grouped(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** 3 ms, 48 ms, 1.2 s. */
export function duration(ms: number): string {
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

/** 00:07, 12:34. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
}
