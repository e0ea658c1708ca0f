import { ageText, countText, durationText } from "../lib/quantities.ts";
import { type ClusterView, type Lag, lagOf, type PeerStatus } from "./cluster_view.ts";
import { problemsOf } from "./health.ts";
import { renderChart, type Series } from "./history_chart.ts";
import { Html, html } from "./html.ts";
import type { NodeStatus, SnapshotStatus } from "./node_status.ts";
import { PAGE_STYLE } from "./page_style.ts";
import { lagText, pendingText, roleText, snapshotText } from "./status_words.ts";

/** The same as data. */
export const CLUSTER_PATH = "/cluster.json";

const SHOWN_HASH = 8;
const UNKNOWN = "?";

/** Asks for the page again and takes its content over. Where it cannot run, the reader's browser loads the page anew. */
const PAGE_SCRIPT = `
const refresh = async () => {
  if (document.hidden) return;
  try {
    const response = await fetch(location.href, { cache: "no-store" });
    if (!response.ok) throw new Error(response.status);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
    document.title = page.title;
    document.body.classList.remove("late");
  } catch {
    document.body.classList.add("late");
  }
};
setInterval(refresh, 3000);
document.addEventListener("visibilitychange", refresh);
`;

/** The whole page. It asks for nothing but itself. */
export function renderPage(view: ClusterView): string {
  const counted = problemCount(view);
  return html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>${counted === 0 ? "" : `(${counted}) `}HarmonyLite, node ${view.node}</title>
        <link rel="icon" href="data:,">
        <noscript><meta http-equiv="refresh" content="5"></noscript>
        <style>${new Html(PAGE_STYLE)}</style>
      </head>
      <body>${renderMain(view, counted)}
    <footer>Seen from node ${view.node}. <a href="${CLUSTER_PATH.slice(1)}">The same as JSON</a>
    <span id="late" role="status" class="badge bad">This node does not answer any more</span></footer>
    <script>${new Html(PAGE_SCRIPT)}</script></body>
    </html>
  `.text;
}

/** Nothing but what the page itself holds may run, and nobody else be asked: not even if something got into it. */
export async function pageHeaders(): Promise<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    `script-src '${await hashOf(PAGE_SCRIPT)}'`,
    `style-src '${await hashOf(PAGE_STYLE)}'`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy.join("; "),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  };
}

async function hashOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return `sha256-${new Uint8Array(digest).toBase64()}`;
}

function renderMain(view: ClusterView, problems: number): Html {
  const { nodes, gone, problem, atMs } = view;
  return html`<main><header><h1>HarmonyLite</h1>${renderVerdict(problems, gone.length)}
<span class="dim">${new Date(atMs).toISOString().replace("T", " ").slice(0, 19)} UTC</span></header>
${problem === undefined ? undefined : html`<p class="panel bad">${problem}: only this node is shown.</p>`}
${renderTiles(view)}
<div class="charts">${renderCharts(view)}</div>
<div class="nodes">${nodes.map((peer) => renderNode(peer, view))}${
    gone.map(({ node, host, seenAtMs }) =>
      html`
        <section class="panel">
          <div class="top"><h2>Node ${node}</h2><span class="badge warn">gone</span></div>
          <p class="dim">${host}: last seen ${ageText(atMs - seenAtMs)}</p>
        </section>
      `
    )
  }</div></main>`;
}

function renderVerdict(problems: number, gone: number): Html {
  if (problems > 0) return html`<span class="badge bad">${countText(problems, "problem")}</span>`;
  if (gone > 0) return html`<span class="badge warn">${countText(gone, "node")} gone</span>`;
  return html`<span class="badge good">All is well</span>`;
}

/** A node that is gone may have been stopped: that is told, and is no problem. */
function problemCount({ nodes, problem }: ClusterView): number {
  const told = nodes.map(({ status }) => status === undefined ? 1 : problemsOf(status).length);
  return told.reduce((sum, count) => sum + count, problem === undefined ? 0 : 1);
}

function renderTiles({ nodes, atMs }: ClusterView): Html {
  const statuses = nodes.flatMap(({ status }) => status ?? []);
  const lags = statuses.map(lagOf);
  const sum = (values: readonly (number | undefined)[]): string =>
    values.includes(undefined) ? UNKNOWN : String(values.reduce<number>((sum, value) => sum + value!, 0));
  const snapshot = statuses.flatMap(({ snapshot }) => snapshot?.takenAtMs ?? []).sort((a, b) => b - a)[0];
  const tiles: [string, string][] = [
    ["Running nodes", String(nodes.length)],
    ["Longest lag", longestLag(lags)],
    ["Waiting to be sent", sum(lags.map(({ pending }) => pending))],
    ["Conflicts kept", sum(statuses.map(({ conflicts }) => conflicts.kept))],
    ["In quarantine", sum(statuses.map(({ quarantined }) => quarantined))],
    ["Newest snapshot", snapshot === undefined ? "none" : ageText(atMs - snapshot)],
  ];
  return html`<div class="tiles">${
    tiles.map(([name, value]) =>
      html`<div class="panel"><b>${value}</b><span class="dim">${name}</span></div>`
    )
  }</div>`;
}

function longestLag(lags: readonly Lag[]): string {
  const known = lags.flatMap(({ ms }) => ms ?? []);
  if (known.length < lags.length || known.length === 0) return UNKNOWN;
  const longest = Math.max(...known);
  return longest === 0 ? "none" : durationText(longest);
}

function renderCharts({ history, atMs }: ClusterView): Html[] {
  const nodes = [...new Set(history.flatMap(({ nodes }) => Object.keys(nodes)))]
    .sort((a, b) => BigInt(a) < BigInt(b) ? -1 : 1);
  const seriesOf = (valueOf: (lag: Lag) => number | undefined): Series[] =>
    nodes.map((node) => ({
      name: `node ${node}`,
      points: history.map(({ atMs, nodes }) => ({ atMs, value: nodes[node] && valueOf(nodes[node]) })),
    }));
  return [
    renderChart(seriesOf(({ ms }) => ms), { title: "Lag", nowMs: atMs, valueText: durationText }),
    renderChart(seriesOf(({ pending }) => pending), {
      title: "Changes waiting to be sent",
      nowMs: atMs,
      valueText: (value) => String(Math.round(value)),
    }),
  ];
}

function renderNode({ node, status, problem }: PeerStatus, view: ClusterView): Html {
  if (status === undefined) {
    return html`
      <section class="panel">
        <div class="top"><h2>Node ${node}</h2><span class="badge bad">no answer</span></div>
        <ul class="bad">
          <li>${problem ?? "It does not answer"}</li>
        </ul>
      </section>
    `;
  }
  const problems = problemsOf(status);
  const state = status.phase.replaceAll("_", " ");
  const tone = problems.length > 0 ? "bad" : status.phase === "replicating" ? "good" : "warn";
  return html`
    <section class="panel"
      data-node="${node}"><div class="top"><h2>Node ${node}${node === view.node
        ? html`
          <span class="dim">(this one)</span>
        `
        : undefined}</h2><span class="badge ${tone}">${state}</span></div>
    ${problems.length === 0
      ? undefined
      : html`<ul class="bad">${problems.map((text) => html`<li>${text}</li>`)}</ul>`}
    <dl>${factsOf(status).map(([name, value]) =>
      html`
        <dt>${name}</dt>
        <dd>${value}</dd>
      `
    )}</dl></section>
  `;
}

function factsOf(status: NodeStatus): [string, string][] {
  const { nowMs, nats, schema, published, applied, conflicts, quarantined, snapshot } = status;
  const since = (ms: number | undefined): string =>
    ms === undefined ? "" : `, the last ${ageText(nowMs - ms)}`;
  return [
    ["Host", `${status.host}, for ${durationText(nowMs - status.startedAtMs)}, version ${status.version}`],
    ["Role", roleText(status)],
    ["Lag", lagText(lagOf(status))],
    ["Waiting", pendingText(status.pending, nowMs)],
    ["Sent", `${published.changes}${since(published.lastAtMs)}`],
    ["Applied", `${applied.changes}${since(applied.lastAtMs)}`],
    [
      "Streams",
      status.streams.map(({ shard, position, last }) => `${shard}: ${position} of ${last ?? UNKNOWN}`).join(
        ", ",
      ),
    ],
    [
      "NATS",
      `${nats.connected ? "connected to" : "away from"} ${nats.server ?? UNKNOWN}, for ${
        durationText(nowMs - nats.sinceMs)
      }`,
    ],
    ["Schema", `${schema.hash.slice(0, SHOWN_HASH)}, ${countText(schema.tables, "table")}`],
    ["Conflicts", `${conflicts.kept ?? UNKNOWN} kept, ${quarantined ?? UNKNOWN} messages in quarantine`],
    ...tellsOfSnapshots(snapshot)
      ? [["Snapshot", snapshotText(snapshot, nowMs)] satisfies [string, string]]
      : [],
  ];
}

/** What the others know of them is older. */
function tellsOfSnapshots(snapshot: SnapshotStatus | undefined): snapshot is SnapshotStatus {
  return snapshot !== undefined &&
    (snapshot.isLeader || (snapshot.problem ?? snapshot.failure) !== undefined);
}
