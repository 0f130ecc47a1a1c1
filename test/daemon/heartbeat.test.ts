import { describe, expect, it, onTestFinished } from "vitest";
import { keepBeating } from "../../src/daemon/heartbeat.ts";
import { SignsOfLife } from "../../src/daemon/signs-of-life.ts";
import type { FileInfo } from "../../src/host/files.ts";
import { silentLogger } from "../../src/host/log.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

const minute = 60_000;

/** A daemon whose schedule and files stand still when a test says so. */
class Patient {
  readonly clock = new ManualClock();
  readonly told: string[] = [];
  status = "1 policy";
  ticking = true;
  /** Ends the file operations that wait. */
  #answer: (() => void) | undefined;
  #ticked = 0;
  #stuck = false;

  readonly signs = new SignsOfLife({
    scheduler: this.#scheduler(),
    files: { stat: async () => await this.#stat() },
    clock: this.clock,
  });

  beat(watchdog: number | undefined): void {
    const end = new AbortController();
    onTestFinished(() => end.abort());
    const { signs, clock } = this;
    const manager = { watchdog, notify: (...words: readonly string[]) => void this.told.push(words.join(" ")) };
    void keepBeating({ signs, manager, status: () => this.status, clock, log: silentLogger }, end.signal);
  }

  hold(): void {
    this.#stuck = true;
  }

  async release(): Promise<void> {
    this.#stuck = false;
    this.#answer?.();
    await this.clock.advance(0);
  }

  #scheduler(): { readonly sinceTick: number } {
    const since = (): number => {
      if (this.ticking) this.#ticked = this.clock.monotonic();
      return this.clock.monotonic() - this.#ticked;
    };
    return {
      get sinceTick() {
        return since();
      },
    };
  }

  async #stat(): Promise<FileInfo> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#answer = () => resolve(undefined);
    if (this.#stuck) await promise;
    return { kind: "folder", size: 0, time: 0 };
  }
}

describe("the heartbeat", () => {
  it("feeds the watchdog four times in its time, and tells the status when it is another one", async () => {
    const patient = new Patient();
    patient.beat(20_000);
    await patient.clock.advance(14_000);
    expect(patient.told).toEqual(["STATUS=1 policy WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
    patient.status = "2 policies";
    await patient.clock.advance(2000);
    expect(patient.told.at(-1)).toBe("STATUS=2 policies WATCHDOG=1");
  });

  it("tells the status to who has no watchdog", async () => {
    const patient = new Patient();
    patient.beat(undefined);
    await patient.clock.advance(10 * minute);
    expect(patient.told).toEqual(["STATUS=1 policy"]);
  });

  it("lets the watchdog starve while the schedule stands still", async () => {
    const patient = new Patient();
    patient.beat(3 * minute);
    await patient.clock.advance(minute);
    patient.ticking = false;
    await patient.clock.advance(minute);
    const from = patient.told.length;
    await patient.clock.advance(3 * minute);
    expect(patient.told.slice(from).join()).not.toContain("WATCHDOG");
    expect(patient.told.at(-1)).toBe("STATUS=The schedule stands still.");
  });

  it("lets it starve while no file can be opened, and goes on when they can again", async () => {
    const patient = new Patient();
    patient.hold();
    patient.beat(3 * minute);
    await patient.clock.advance(50_000);
    expect(patient.told.at(-1)).toBe("WATCHDOG=1");
    await patient.clock.advance(minute);
    expect(patient.told.at(-1)).toContain("STATUS=No file can be opened");
    await patient.release();
    await patient.clock.advance(10_000);
    expect(patient.told.at(-1)).toBe("STATUS=1 policy WATCHDOG=1");
  });
});
