import type { Reading } from "./meter.ts";
import { clock, duration, fit, grouped, sparkline, type Styles, visibleLength } from "./style.ts";

/** Something worth a sentence. */
export interface Remark {
  /** Milliseconds since the applications began to write. */
  readonly at: number;
  readonly text: string;
}

export interface Scene {
  readonly elapsedMs: number;
  readonly readings: readonly Reading[];
  readonly remarks: readonly Remark[];
  /** The last line: what happens now, and what the user can do. */
  readonly status: string;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

interface Column {
  readonly title: string;
  readonly width: number;
  readonly show: (reading: Reading, styles: Styles) => string;
}

const COLUMNS: readonly Column[] = [
  { title: "rows", width: 10, show: ({ rows }) => grouped(rows) },
  { title: "written/s", width: 11, show: ({ writtenPerSecond }) => grouped(writtenPerSecond) },
  { title: "pending", width: 9, show: showPending },
  { title: "applied/s", width: 11, show: ({ appliedPerSecond }) => grouped(appliedPerSecond) },
  { title: "lag", width: 9, show: showLag },
];

const PENDING_WORTH_A_LOOK = 100;
const LAG_WORTH_A_LOOK_MS = 1_000;
const MIN_SPARKLINE = 8;
const MAX_SPARKLINE = 40;
const MAX_REMARKS = 5;
/** Of the node's name and state, before the columns. */
const NAME_WIDTH = 16;

/** The changing part of the screen. Never wider or higher than the terminal, so that it can be drawn over itself. */
export function liveLines(scene: Scene, { columns, rows }: Size, styles: Styles): string[] {
  const table = tableLines(scene.readings, columns, styles);
  const remarks = scene.remarks.slice(-MAX_REMARKS).map(({ at, text }) =>
    `  ${styles.dim(clock(at))}  ${text}`
  );
  const status = `  ${styles.dim(`${clock(scene.elapsedMs)}  ${scene.status}`)}`;
  const lines = ["", ...table, "", ...remarks, ...remarks.length > 0 ? [""] : [], status];
  return lines.slice(-Math.max(1, rows - 1)).map((line) => fit(line, columns));
}

function tableLines(readings: readonly Reading[], columns: number, styles: Styles): string[] {
  const used = NAME_WIDTH + COLUMNS.reduce((sum, { width }) => sum + width, 0);
  const length = Math.min(columns - used - 4, MAX_SPARKLINE);
  const hasSparkline = length >= MIN_SPARKLINE;
  const most = Math.max(1, ...readings.flatMap(({ history }) => history.slice(-length)));
  const titles = COLUMNS.map(({ title, width }) => title.padStart(width)).join("");
  const head = `${" ".repeat(NAME_WIDTH)}${titles}${hasSparkline ? "   applied" : ""}`;
  const lines = readings.map((reading) => {
    const cells = COLUMNS.map(({ width, show }) => padStart(show(reading, styles), width)).join("");
    const line = hasSparkline ? `   ${styles.cyan(sparkline(reading.history.slice(-length), most))}` : "";
    return `${nodeName(reading, styles)}${cells}${line}`;
  });
  return [styles.dim(head), ...lines];
}

function nodeName({ id, running }: Reading, styles: Styles): string {
  const state = running ? styles.green("running") : styles.red("killed ");
  return `  ${styles.bold(`node ${id}`)} ${state}`;
}

function showPending({ pending }: Reading, styles: Styles): string {
  const text = grouped(pending);
  return pending >= PENDING_WORTH_A_LOOK ? styles.yellow(text) : text;
}

function showLag({ lagMs }: Reading, styles: Styles): string {
  if (lagMs === undefined) return styles.dim("–");
  const text = duration(lagMs);
  return lagMs >= LAG_WORTH_A_LOOK_MS ? styles.yellow(text) : text;
}

function padStart(text: string, width: number): string {
  return " ".repeat(Math.max(0, width - visibleLength(text))) + text;
}

/** The same for a log file or a pipe: one line a second. */
export function plainLine({ elapsedMs, readings }: Scene): string {
  const each = (show: (reading: Reading) => string): string => readings.map(show).join(" / ");
  return [
    clock(elapsedMs),
    `rows ${each(({ rows }) => grouped(rows))}`,
    `written/s ${each(({ writtenPerSecond }) => grouped(writtenPerSecond))}`,
    `pending ${each(({ pending }) => grouped(pending))}`,
    `applied/s ${each(({ appliedPerSecond }) => grouped(appliedPerSecond))}`,
    `lag ${each(({ lagMs, running }) => lagMs === undefined ? (running ? "–" : "killed") : duration(lagMs))}`,
  ].join("  ");
}
