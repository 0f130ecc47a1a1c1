/** The channels that are a request: a webhook is told, a ping only shows that all is well. */
import type { Clock } from "../host/clock.ts";
import { nodeFiles } from "../host/node-files.ts";
import type { PingSettings, WebhookSettings } from "../policy/config.ts";
import { send } from "./http.ts";
import { type Message, toJson } from "./message.ts";
import { readAuthorities, readHeaders, readUrl, type SecretSources } from "./secrets.ts";

export interface Delivery {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const sources: SecretSources = { files: nodeFiles, environment: process.env };

/** Throws `notification_failed`, with nothing that is secret, or `cancelled`. */
export async function sendWebhook(settings: WebhookSettings, message: Message, delivery: Delivery): Promise<void> {
  await send({
    url: await readUrl(settings.url, sources),
    headers: await readHeaders(settings.headersFile, sources),
    authorities: await readAuthorities(settings.caFile, sources),
    body: toJson(message),
    timeout: settings.timeout,
    ...delivery,
  });
}

/** Throws as `sendWebhook` does. */
export async function sendPing(settings: PingSettings, delivery: Delivery): Promise<void> {
  await send({
    url: await readUrl(settings.url, sources),
    authorities: await readAuthorities(settings.caFile, sources),
    timeout: settings.timeout,
    ...delivery,
  });
}
