import { type Html, html } from "./html.ts";

/** Values of one node over time; undefined where none is known. */
export interface Series {
  readonly name: string;
  readonly points: readonly { readonly atMs: number; readonly value: number | undefined }[];
}

export interface ChartOptions {
  readonly title: string;
  /** The end of the time shown, Unix milliseconds. */
  readonly nowMs: number;
  /** How a value is written beside the axis. */
  readonly valueText: (value: number) => string;
}

/** Small enough that its letters can be read on a phone. */
const WIDTH = 420;
const HEIGHT = 140;
const PLOT = { left: 46, right: 6, top: 8, bottom: 22 };
/** The shortest time shown: the first minutes fill the width. */
const LEAST_SPAN_MS = 300_000;
/** Nodes beyond these share colours. */
const COLOURS = 8;
/** Points further apart are not joined: nobody has looked in between. */
const JOIN_MS = 100_000;

/** Lines over the time that is known. */
export function renderChart(series: readonly Series[], { title, nowMs, valueText }: ChartOptions): Html {
  const points = series.flatMap(({ points }) => points);
  const startMs = Math.min(nowMs - LEAST_SPAN_MS, ...points.map(({ atMs }) => atMs));
  const highest = Math.max(0, ...points.map(({ value }) => value ?? 0));
  const top = highest > 0 ? highest : 1;
  const plotWidth = WIDTH - PLOT.left - PLOT.right;
  const plotHeight = HEIGHT - PLOT.top - PLOT.bottom;
  const place = ({ atMs, value }: { atMs: number; value: number }): string => {
    const x = PLOT.left + plotWidth * (atMs - startMs) / (nowMs - startMs);
    return `${x.toFixed(1)},${(PLOT.top + plotHeight * (1 - value / top)).toFixed(1)}`;
  };
  const minutes = Math.round((nowMs - startMs) / 60_000);
  const base = HEIGHT - PLOT.bottom;
  return html`
    <figure class="panel chart">
      <figcaption>${title}${legend(series)}</figcaption>
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"
        aria-label="${title}, the last ${minutes} minutes; at most ${valueText(highest)}">
    <path class="axis" d="M${PLOT.left} ${PLOT.top}V${base}H${WIDTH - PLOT.right}"/>
    <text x="${PLOT.left - 6}" y="${PLOT.top + 8}" text-anchor="end">${highest > 0
      ? valueText(highest)
      : ""}</text>
    <text x="${PLOT.left - 6}" y="${base}" text-anchor="end">${valueText(0)}</text>
    <text x="${PLOT.left}" y="${HEIGHT - 5}">${minutes} min ago</text>
    <text x="${WIDTH - PLOT.right}" y="${HEIGHT - 5}" text-anchor="end">now</text>
    ${series.map((each, at) => lineOf(each, at, place))}</svg>
    </figure>
  `;
}

function lineOf(
  { points }: Series,
  at: number,
  place: (point: { atMs: number; value: number }) => string,
): Html {
  let path = "";
  let beforeMs = -Infinity;
  for (const { atMs, value } of points) {
    if (value === undefined) continue;
    const joined = atMs - beforeMs <= JOIN_MS;
    // A point by itself is a dot, as its line has round ends.
    path += joined ? `L${place({ atMs, value })}` : `M${place({ atMs, value })}h0`;
    beforeMs = atMs;
  }
  return html`
    <path class="line c${at % COLOURS}" d="${path}" />
  `;
}

function legend(series: readonly Series[]): Html {
  return html`<span class="legend">${
    series.map(({ name }, at) =>
      html`
        <span><i class="c${at % COLOURS}"></i>${name}</span>
      `
    )
  }</span>`;
}
