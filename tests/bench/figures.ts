/** What a part of the benchmark found out. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: Target;
}

/** The aims of the design, section 11. */
export interface Target {
  readonly kind: "at least" | "at most";
  readonly value: number;
}

/** A figure of several runs. */
export interface CombinedFigure {
  readonly part: string;
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly target?: Target;
  readonly met?: boolean;
}

export function atLeast(value: number): Target {
  return { kind: "at least", value };
}

export function atMost(value: number): Target {
  return { kind: "at most", value };
}

/** The smallest value that at least `part` of the values do not exceed; 0 when there is none. */
export function percentile(sorted: ArrayLike<number>, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** One figure from those that the runs gave under the same name. */
export function combine(part: string, runs: readonly (readonly Figure[])[]): CombinedFigure[] {
  const names = new Set(runs.flatMap((figures) => figures.map(({ name }) => name)));
  return [...names].map((name) => {
    const same = runs.flatMap((figures) => figures.filter((figure) => figure.name === name));
    const values = same.map(({ value }) => value).sort((a, b) => a - b);
    const { unit, target } = same[0] as Figure;
    const median = medianOf(values);
    const figure = { part, name, unit, median, min: values[0] ?? 0, max: values.at(-1) ?? 0 };
    return target === undefined ? figure : { ...figure, target, met: isMet(median, target) };
  });
}

function medianOf(sorted: readonly number[]): number {
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

function isMet(value: number, target: Target): boolean {
  return target.kind === "at least" ? value >= target.value : value <= target.value;
}

/** A table for people. Several runs add their lowest and highest figure. */
export function formatTable(figures: readonly CombinedFigure[], runs: number): string {
  const head = ["part", "figure", runs > 1 ? "median" : "value", ...runs > 1 ? ["min", "max"] : []];
  const rows = figures.map(({ part, name, unit, median, min, max, target, met }) => [
    part,
    name,
    ...[median, ...runs > 1 ? [min, max] : []].map(formatNumber),
    unit,
    target === undefined ? "" : `${target.kind === "at least" ? "≥" : "≤"} ${formatNumber(target.value)}`,
    met === undefined ? "" : met ? "met" : "MISSED",
  ]);
  return alignColumns([[...head, "unit", "target", ""], ...rows], runs > 1 ? [2, 3, 4] : [2]);
}

/** Whole numbers as they are; of others three digits, as more would only be noise. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function alignColumns(rows: readonly (readonly string[])[], right: readonly number[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const pad = (text: string, column: number): string =>
    right.includes(column) ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}
