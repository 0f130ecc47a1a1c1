/** The ways by which messages leave the host. */
import { hostname } from "node:os";
import type { NotifySettings } from "../policy/config.ts";
import type { Message } from "./message.ts";
import type { ChannelName, Notice } from "./notice.ts";
import type { Delivery } from "./webhook.ts";

/** The channels that the settings have. */
export function channelsOf({ webhook, email, ping }: NotifySettings): ChannelName[] {
  return [
    ...(webhook === undefined ? [] : (["webhook"] as const)),
    ...(email === undefined ? [] : (["email"] as const)),
    ...(ping === undefined ? [] : (["ping"] as const)),
  ];
}

/**
 * Delivers a message by a channel; a ping carries nothing of it, and only shows that all is well. Throws
 * `notification_failed`, with nothing that is secret, or `cancelled`.
 */
export async function deliver(
  channel: ChannelName,
  { webhook, email, ping }: NotifySettings,
  message: Message,
  delivery: Delivery,
): Promise<void> {
  // Loaded when there is something to deliver: most daemons have little to tell.
  if (channel === "email") {
    const { sendMail } = await import("./email.ts");
    if (email !== undefined) await sendMail(email, message, delivery.signal);
    return;
  }
  const { sendPing, sendWebhook } = await import("./webhook.ts");
  if (channel === "webhook" && webhook !== undefined) await sendWebhook(webhook, message, delivery);
  if (channel === "ping" && ping !== undefined) await sendPing(ping, delivery);
}

export function messageOf(notices: readonly Notice[], time: number): Message {
  return { host: hostname(), time, notices };
}
