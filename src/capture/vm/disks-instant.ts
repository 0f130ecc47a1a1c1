/** The instant of a guest's disks alone, as a loss of power would leave them, or with its file systems frozen by the agent. */
import { GuestAgent } from "./guest-agent.ts";
import type { Instant, InstantOptions, Taken } from "./instant.ts";
import { refused } from "./trouble.ts";

export interface DisksInstantOptions extends InstantOptions {
  /** Path of the guest agent's socket. */
  readonly agent: string | undefined;
  /** Whether somebody else has paused the guest: it is left so. */
  readonly paused: boolean;
}

export class DisksInstant implements Instant {
  readonly method = "disks";
  readonly #options: DisksInstantOptions;
  #agent: GuestAgent | undefined;
  #frozen = false;

  constructor(options: DisksInstantOptions) {
    this.#options = options;
  }

  async pause(): Promise<void> {
    const { agent, paused, standstill, clock } = this.#options;
    if (paused) {
      if (agent === undefined) return;
      throw refused("it is paused, so its guest agent can't freeze its file systems", "Let it run (`cont`).");
    }
    await standstill.guard();
    if (agent !== undefined) {
      this.#agent = await GuestAgent.connect(agent, clock);
      this.#frozen = true;
      await this.#agent.freeze();
    }
    await standstill.stop();
  }

  async point(): Promise<void> {
    await this.#options.points.set();
  }

  async resume(): Promise<Taken> {
    const { standstill } = this.#options;
    await this.giveUp();
    return standstill.measured;
  }

  async giveUp(): Promise<void> {
    await this.#options.standstill.go();
    const agent = this.#agent;
    if (this.#frozen) await agent?.thaw();
    this.#frozen = false;
    agent?.close();
  }
}
