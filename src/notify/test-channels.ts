/** `stillpoint notify test`: a notice that is none, to see whether notices get through. */
import { isStillpointError, StillpointError } from "../errors.ts";
import type { NotifySettings } from "../policy/config.ts";
import { channelsOf, deliver, messageOf } from "./deliver.ts";
import type { ChannelName } from "./notice.ts";
import type { Delivery } from "./webhook.ts";

export interface Tested {
  readonly channel: ChannelName;
  /** Why nothing got through; undefined when it did. */
  readonly error: string | undefined;
}

/**
 * Tries the channel, or webhook and mail: a ping says that all is well, so it is sent only when it is named. Throws `not_found`
 * when the configuration has no such channel, and `cancelled`.
 */
export async function testChannels(
  wanted: string | undefined,
  settings: NotifySettings,
  delivery: Delivery,
): Promise<Tested[]> {
  const channels = channelsOf(settings).filter((name) => (wanted === undefined ? name !== "ping" : name === wanted));
  if (channels.length === 0) throw nothingToTest(wanted);
  const now = delivery.clock.now();
  const text = "this is a test of Stillpoint's notifications: nothing is wrong";
  const test = { event: "test", subject: { kind: "test" }, since: now, reminder: false, text } as const;
  const message = messageOf([{ id: "test", ...test }], now);
  return await Promise.all(
    channels.map(async (channel) => {
      try {
        await deliver(channel, settings, message, delivery);
        return { channel, error: undefined };
      } catch (error) {
        if (!isStillpointError(error, "notification_failed")) throw error;
        return { channel, error: error.message };
      }
    }),
  );
}

function nothingToTest(wanted: string | undefined): StillpointError {
  const named = wanted === undefined ? " A ping is tested only when it is named, since it says that all is well." : "";
  return new StillpointError("not_found", {
    what: `Cannot test notifications: the configuration has no ${wanted ?? "webhook and no email"}`,
    safe: "Nothing was sent.",
    next: `Add it under \`daemon: notify:\` (docs/notifications.md).${named}`,
  });
}
