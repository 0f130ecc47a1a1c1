/**
 * Tells by webhook and mail what fails, what misses its objective and what is well again, and pings while all objectives are met.
 * A receiver that is slow or away holds up nothing: each channel has at most one delivery under way, and nobody waits for it.
 */
import { describeError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import type { StateFolder } from "../job/state-folder.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { channelsOf, deliver, messageOf } from "../notify/deliver.ts";
import type { Message } from "../notify/message.ts";
import type { ChannelName, Concern } from "../notify/notice.ts";
import { planNotices, type Told } from "../notify/plan.ts";
import type { NotifySettings } from "../policy/config.ts";
import { NotificationRecords } from "./notification-records.ts";

/** How often what is looked after is looked at, in ms. */
const lookInterval = 5000;
/** After a delivery that failed, in ms: doubled with each further one. */
const shortestRetry = 15_000;
const longestRetry = 15 * 60_000;

export interface NotificationsOptions {
  readonly settings: () => NotifySettings;
  readonly concerns: () => readonly Concern[];
  readonly everyObjectiveMet: () => boolean;
  readonly state: StateFolder;
  readonly metrics: Pick<Metrics, "countNotification">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What is to be delivered, and what counts as told then. */
interface Due {
  readonly message: Message;
  readonly told: Told;
}

export class Notifications {
  readonly records: NotificationRecords;
  readonly #options: NotificationsOptions;
  readonly #underWay = new Map<ChannelName, Promise<void>>();
  /** By the monotonic clock: not before then. */
  readonly #rests = new Map<ChannelName, number>();

  constructor(options: NotificationsOptions) {
    this.#options = options;
    this.records = new NotificationRecords(options.state);
  }

  /** Until the signal aborts; then what is under way is given up, and told by the next process. */
  async run(signal: AbortSignal): Promise<void> {
    const { settings, clock } = this.#options;
    while (!signal.aborted) {
      for (const channel of channelsOf(settings())) this.#attend(channel, signal);
      await clock.sleep(lookInterval, signal).catch(() => undefined);
    }
    await this.idle();
  }

  /** Resolves when no delivery is under way. */
  async idle(): Promise<void> {
    await Promise.all(this.#underWay.values());
  }

  /** The settings are others: what failed before may get through now. */
  retry(): void {
    this.#rests.clear();
  }

  #attend(channel: ChannelName, signal: AbortSignal): void {
    const rests = this.#rests.get(channel) ?? Number.NEGATIVE_INFINITY;
    if (this.#underWay.has(channel) || this.#options.clock.monotonic() < rests) return;
    const due = this.#due(channel);
    if (due === undefined) return;
    this.#underWay.set(
      channel,
      this.#deliver(channel, due, signal).finally(() => this.#underWay.delete(channel)),
    );
  }

  async #deliver(channel: ChannelName, { message, told }: Due, signal: AbortSignal): Promise<void> {
    const { settings, clock, log, metrics } = this.#options;
    const { ping, interval } = settings();
    try {
      await deliver(channel, settings(), message, { clock, signal });
    } catch (error) {
      if (!signal.aborted) await this.#failed(channel, error);
      return;
    }
    this.#rest(channel, channel === "ping" ? (ping?.every ?? 0) : interval);
    metrics.countNotification(channel, "ok");
    await this.records.noteSuccess(channel, told, clock.now()).catch(this.#unwritten);
    log.debug("notification delivered", { channel, notices: message.notices.length });
  }

  async #failed(channel: ChannelName, error: unknown): Promise<void> {
    const { log, metrics } = this.#options;
    const failures = this.records.at(channel).failures + 1;
    const retry = Math.min(shortestRetry * 2 ** (failures - 1), longestRetry);
    this.#rest(channel, retry);
    metrics.countNotification(channel, "failed");
    log.warn("notification not delivered", { channel, failures, retry, error });
    await this.records.noteFailure(channel, describeError(error)).catch(this.#unwritten);
  }

  readonly #unwritten = (error: unknown): void => this.#options.log.warn("state not written", { error });

  #rest(channel: ChannelName, ms: number): void {
    this.#rests.set(channel, this.#options.clock.monotonic() + ms);
  }

  #due(channel: ChannelName): Due | undefined {
    const { settings, everyObjectiveMet, clock } = this.#options;
    const { webhook, email, remind } = settings();
    const now = clock.now();
    if (channel === "ping") return everyObjectiveMet() ? { message: messageOf([], now), told: {} } : undefined;
    const on = (channel === "webhook" ? webhook : email)?.on ?? [];
    const concerns = [...this.#options.concerns(), ...this.#others(channel)];
    const before = this.records.at(channel).told;
    const { notices, told } = planNotices(concerns, before, { on, remind, now });
    if (notices.length > 0) return { message: messageOf(notices, now), told };
    // Something that nobody wants to know, or that the configuration doesn't name any more.
    if (Object.keys(told).length < Object.keys(before).length) {
      this.records.noteTold(channel, told).catch(this.#unwritten);
    }
    return undefined;
  }

  /** That one channel fails can be told by another. */
  #others(channel: ChannelName): Concern[] {
    return channelsOf(this.#options.settings())
      .filter((other) => other !== channel)
      .map((other) => {
        const { failures, message = "" } = this.records.at(other);
        const trouble = failures === 0 ? undefined : `nothing gets through: ${message.replace(/\.$/, "")}`;
        return { subject: { kind: "notification", channel: other }, event: "failure", trouble };
      });
  }
}
