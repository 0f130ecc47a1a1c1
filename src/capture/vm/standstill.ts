/** The time for which a guest stands still, as QEMU's events tell of it. */
import { toError } from "../../errors.ts";
import type { Clock } from "../../host/clock.ts";
import type { Guest } from "./guest.ts";
import { step } from "./trouble.ts";

/** Told around each pause, so that somebody else lets the guest run on should we die. */
export interface PauseGuard {
  /** Before the guest is stopped, by so many ms: durable when it resolves. */
  readonly begin: (ahead: number) => Promise<void>;
  /** When it runs again. */
  readonly end: () => Promise<void>;
}

export class Standstill {
  readonly #guest: Guest;
  readonly #clock: Clock;
  readonly #guard: PauseGuard;
  readonly #forget: () => void;
  /** Times of QEMU's events, in ms since the epoch. */
  readonly #stops: number[] = [];
  readonly #resumes: number[] = [];
  #begun: number | undefined;
  #guarded = false;

  constructor(guest: Guest, clock: Clock, guard: PauseGuard) {
    this.#guest = guest;
    this.#clock = clock;
    this.#guard = guard;
    this.#forget = guest.qmp.onEvent(({ event, time }) => {
      if (event === "STOP") this.#stops.push(time);
      if (event === "RESUME") this.#resumes.push(time);
    });
  }

  get stops(): number {
    return this.#stops.length;
  }

  get resumes(): number {
    return this.#resumes.length;
  }

  /** In ms, since we asked the guest to stop; 0 before. */
  get elapsed(): number {
    return this.#begun === undefined ? 0 : this.#clock.monotonic() - this.#begun;
  }

  /** When the guest stood still, in ms since the epoch, and for how long, in ms. */
  get measured(): { readonly time: number; readonly pause: number } {
    const [time] = this.#stops;
    const [end] = this.#resumes;
    if (time === undefined) return { time: this.#clock.now(), pause: 0 };
    return { time, pause: Math.max(0, (end ?? time) - time) };
  }

  /** To be called before `stop`, so many ms ahead when time matters: it writes to a disk. */
  async guard(ahead = 0): Promise<void> {
    this.#guarded = true;
    await this.#guard.begin(ahead);
  }

  async stop(): Promise<void> {
    if (!this.#guarded) await this.guard();
    this.#begun = this.#clock.monotonic();
    await step("pause the guest", this.#guest.qmp.execute("stop"));
  }

  /** Lets the guest run if we have stopped it and it doesn't yet. May be repeated. */
  async go(): Promise<void> {
    let failure: Error | undefined;
    if (this.#begun !== undefined && this.#resumes.length < this.#stops.length) {
      await step("let the guest run on", this.#guest.qmp.execute("cont")).catch((error: unknown) => {
        failure = toError(error);
      });
    }
    if (failure !== undefined) throw failure;
    if (this.#guarded) await this.#guard.end();
    this.#guarded = false;
  }

  /** Stops listening. */
  end(): void {
    this.#forget();
  }
}
