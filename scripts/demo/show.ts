import { sleep } from "../../src/lib/sleep.ts";
import type { Beat } from "./heartbeat.ts";
import { Meter } from "./meter.ts";
import type { Screen } from "./screen.ts";
import type { Stage } from "./stage.ts";
import { duration, grouped } from "./style.ts";
import type { Remark } from "./view.ts";

const LOOK_INTERVAL_MS = 2;
const BEAT_INTERVAL_MS = 200;
/** Counting rows takes longer the more there are; it may take this part of the time at most. */
const MAX_READING_PART = 0.05;

/** Watches the stage: writes the beats, looks for them, and shows what it sees. */
export class Show implements Disposable {
  readonly #stage: Stage;
  readonly #screen: Screen;
  readonly #meters: readonly Meter[];
  readonly #remarks: Remark[] = [];
  readonly #startedAt = performance.now();
  status = "";

  constructor(stage: Stage, screen: Screen) {
    this.#stage = stage;
    this.#screen = screen;
    const ids = stage.nodes.map(({ id }) => id);
    this.#meters = stage.nodes.map((node) => new Meter(node, ids.filter((id) => id !== node.id)));
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  remark(text: string): void {
    const remark = { at: this.elapsedMs, text };
    this.#remarks.push(remark);
    this.#screen.remark(remark);
  }

  /** Runs until it is aborted; throws when something on the stage has broken. */
  async run(signal: AbortSignal): Promise<void> {
    let [beatAt, showAt] = [0, performance.now() + this.#screen.intervalMs];
    while (!signal.aborted) {
      this.#stage.assertAlive();
      for (const meter of this.#meters) meter.look();
      const now = performance.now();
      if (now >= beatAt) {
        this.beat();
        beatAt = now + BEAT_INTERVAL_MS;
      }
      if (now >= showAt) showAt = now + Math.max(this.#screen.intervalMs, this.show() / MAX_READING_PART);
      // To be aborted is how this loop ends.
      await sleep(LOOK_INTERVAL_MS, signal).catch(() => {});
    }
  }

  /** A beat in every database that has no hold-up. */
  beat(): void {
    for (const meter of this.#meters) {
      const beat = meter.writeBeat();
      if (beat === undefined) continue;
      const at = performance.now();
      for (const other of this.#meters) other.expect(beat, at);
    }
  }

  /** Returns how long the reading took: milliseconds. */
  show(): number {
    const start = performance.now();
    const running = new Set(this.#stage.nodes.filter(({ killed }) => !killed).map(({ id }) => id));
    const readings = this.#meters.map((meter) => meter.read(running));
    const took = performance.now() - start;
    const { elapsedMs, status } = this;
    this.#screen.show({ elapsedMs, readings, remarks: this.#remarks, status });
    return took;
  }

  pendingOf(id: number): number {
    return this.#meters.find(({ node }) => node.id === id)?.pending() ?? 0;
  }

  /** Changes that all applications have made. */
  written(): number {
    return this.#meters.reduce((sum, meter) => sum + meter.written(), 0);
  }

  /** Whether all that was written before these beats is everywhere. {@link run} must be running. */
  haveArrived(beats: readonly Pick<Beat, "node" | "beat">[]): boolean {
    return this.#meters.every((meter) => beats.every((beat) => meter.hasSeen(beat)));
  }

  lastBeats(): Pick<Beat, "node" | "beat">[] {
    return this.#meters.map(({ node, beat }) => ({ node: node.id, beat }));
  }

  /** SIGKILL for one node in the midst of its work, and later a new start. */
  async killAndRestart(id: number, awayMs: number, signal: AbortSignal): Promise<void> {
    const node = this.#stage.nodes.find((each) => each.id === id);
    if (node === undefined) return;
    const { pid } = node;
    await node.kill();
    this.remark(
      `node ${id} (process ${pid}) got SIGKILL. Its application goes on writing: see "pending" grow.`,
    );
    // Whoever ends the demo early still wants the node back, as nothing may be lost.
    await sleep(awayMs, signal).catch(() => {});
    const pending = this.pendingOf(id);
    const start = performance.now();
    await node.start();
    const beats = this.lastBeats();
    while (!this.haveArrived(beats)) await sleep(LOOK_INTERVAL_MS);
    const took = duration(performance.now() - start);
    this.remark(
      `node ${id} is back: its ${grouped(pending)} pending changes are everywhere ${took} after its start.`,
    );
  }

  [Symbol.dispose](): void {
    for (const meter of this.#meters) meter[Symbol.dispose]();
  }
}
