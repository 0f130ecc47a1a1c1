/** What was told by each channel, and how deliveries fail, kept in the state folder: a restart tells nothing twice. */
import * as z from "zod";
import type { StateFolder } from "../job/state-folder.ts";
import type { ChannelName } from "../notify/notice.ts";

const channel = z.object({
  /** Troubles that are not over, by the key of their subject. Times in ms since the epoch. */
  told: z.record(z.string(), z.object({ since: z.number(), told: z.number() })),
  /** Deliveries that failed since the last one that succeeded, and when that was. */
  failures: z.number(),
  succeeded: z.number().optional(),
  /** What the last failure said. */
  message: z.string().optional(),
});

const schema = z.object({ version: z.literal(1), channels: z.record(z.string(), channel) });

type Records = z.output<typeof schema>;
export type ChannelRecord = Readonly<z.output<typeof channel>>;

const record = "notifications.json";
const none: ChannelRecord = { told: {}, failures: 0 };

export class NotificationRecords {
  readonly #state: StateFolder;
  #records: Records = { version: 1, channels: {} };

  constructor(state: StateFolder) {
    this.#state = state;
  }

  /** Takes up what an earlier process noted. */
  async load(): Promise<void> {
    this.#records = (await this.#state.read(record, schema)) ?? this.#records;
  }

  at(name: ChannelName): ChannelRecord {
    return this.#records.channels[name] ?? none;
  }

  /** Throws `storage_denied` or `storage_failed`; what is known in this process is right then too. */
  async noteSuccess(name: ChannelName, told: ChannelRecord["told"], succeeded: number): Promise<void> {
    this.#records.channels[name] = { told, failures: 0, succeeded };
    await this.#state.write(record, this.#records);
  }

  /** Throws as `noteSuccess` does. */
  async noteFailure(name: ChannelName, message: string): Promise<void> {
    const before = this.at(name);
    this.#records.channels[name] = { ...before, failures: before.failures + 1, message };
    await this.#state.write(record, this.#records);
  }

  /** Throws as `noteSuccess` does. */
  async noteTold(name: ChannelName, told: ChannelRecord["told"]): Promise<void> {
    this.#records.channels[name] = { ...this.at(name), told };
    await this.#state.write(record, this.#records);
  }
}
