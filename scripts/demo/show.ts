import { sleep } from "../../src/lib/sleep.ts";
import type { BeatId } from "./heartbeat.ts";
import { Meter } from "./meter.ts";
import type { Screen } from "./screen.ts";
import type { Stage } from "./stage.ts";
import { duration, grouped } from "./style.ts";
import type { Remark } from "./view.ts";

const LOOK_INTERVAL_MS = 2;
const BEAT_INTERVAL_MS = 200;
/** What takes longer is taken for lost; the comparison at the end tells what it is. */
const ARRIVAL_TIMEOUT_MS = 60_000;
/** Counting rows takes longer the more there are; it may take this part of the time at most. */
const MAX_READING_PART = 0.05;

/** Watches the stage: writes the beats, looks for them, and shows what it sees. */
export class Show implements Disposable {
  readonly #stage: Stage;
  readonly #screen: Screen;
  readonly #meters: readonly Meter[];
  readonly #remarks: Remark[] = [];
  readonly #startedAt = performance.now();
  #isBeating = true;
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
      if (this.#isBeating && now >= beatAt) {
        this.#beat();
        beatAt = now + BEAT_INTERVAL_MS;
      }
      if (now >= showAt) showAt = now + Math.max(this.#screen.intervalMs, this.show() / MAX_READING_PART);
      // To be aborted is how this loop ends.
      await sleep(LOOK_INTERVAL_MS, signal).catch(() => {});
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

  /**
   * Waits until all that was written up to now is everywhere; false when that takes too long. Beats end with this: the
   * last of each node comes after everything else. {@link run} must be running.
   */
  async finish(): Promise<boolean> {
    this.#isBeating = false;
    const beats = this.#nextBeats();
    const isOver = (): boolean =>
      this.#haveArrived(beats) && this.#meters.every((meter) => meter.pending() === 0);
    return await this.#until(() => {
      this.#beat(beats);
      return isOver();
    });
  }

  /** SIGKILL for one node in the midst of its work, and later a new start. */
  async killAndRestart(id: number, awayMs: number, signal: AbortSignal): Promise<void> {
    const node = this.#stage.nodes.find((each) => each.id === id);
    if (node === undefined) return;
    const { pid } = node;
    await node.kill();
    this.remark(`node ${id} (process ${pid}) got SIGKILL: its changes are pending`);
    // Whoever ends the demo early still wants the node back, as nothing may be lost.
    await sleep(awayMs, signal).catch(() => {});
    const pending = this.#meters.find((meter) => meter.node.id === id)?.pending() ?? 0;
    const start = performance.now();
    const beats = this.#nextBeats();
    await node.start();
    const hasCaughtUp = await this.#until(() => this.#haveArrived(beats));
    const took = duration(performance.now() - start);
    this.remark(
      hasCaughtUp
        ? `node ${id} is back: ${grouped(pending)} pending changes everywhere after ${took}`
        : `node ${id} is back, but has not caught up within ${took}`,
    );
  }

  [Symbol.dispose](): void {
    for (const meter of this.#meters) meter[Symbol.dispose]();
  }

  /** A beat in every database that has no hold-up; with `due` only in those whose beat of that number is missing yet. */
  #beat(due?: readonly BeatId[]): void {
    for (const meter of this.#meters) {
      if (due?.some(({ node, beat }) => node === meter.node.id && beat <= meter.beat)) continue;
      const beat = meter.writeBeat();
      if (beat === undefined) continue;
      const at = performance.now();
      for (const other of this.#meters) other.expect(beat, at);
    }
  }

  /** The next beat of each node: what was written up to now will be everywhere when they are. */
  #nextBeats(): BeatId[] {
    return this.#meters.map(({ node, beat }) => ({ node: node.id, beat: beat + 1 }));
  }

  #haveArrived(beats: readonly BeatId[]): boolean {
    const areWritten = this.#meters.every(({ node, beat }) =>
      beats.every((each) => each.node !== node.id || each.beat <= beat)
    );
    return areWritten && this.#meters.every((meter) => beats.every((beat) => meter.hasSeen(beat)));
  }

  async #until(condition: () => boolean): Promise<boolean> {
    const deadline = performance.now() + ARRIVAL_TIMEOUT_MS;
    while (performance.now() < deadline) {
      if (condition()) return true;
      await sleep(LOOK_INTERVAL_MS);
    }
    return false;
  }
}
