/** `daemon.notify`: who is told when something fails, by what, and how often at most. */

import * as z from "zod";
import type { NotifySettings, SecretOrigin } from "./config.ts";
import { credential, exactlyOne, oneOf, path, positiveDuration } from "./fields.ts";

const events = z
  .array(z.enum(["failure", "objective_missed", "recovered"]))
  .min(1, { error: "a list of nothing tells nothing: name at least one, or leave `on` out" })
  .default(["failure", "objective_missed", "recovered"])
  .describe("What is told.");

const urlOrigins = ["url_file", "url_credential"] as const;

/** A URL often is a secret itself, so it stands in a file of its own. */
const http = {
  url_file: path.optional().describe("File with the URL, http or https, on its first line."),
  url_credential: credential.optional().describe("Name of a systemd credential (LoadCredential=) with the URL."),
  ca_file: path.optional().describe("File with the certificates of the authorities to trust. Default: the usual ones."),
  timeout: positiveDuration.prefault("10s").describe("How long an answer is waited for."),
};

const webhook = z
  .strictObject({
    ...http,
    headers_file: path
      .optional()
      .describe("File with headers to send along, a line each, such as `Authorization: Bearer …`."),
    on: events,
  })
  .superRefine(exactlyOne(urlOrigins))
  .meta(oneOf(urlOrigins))
  .describe("Sends JSON by POST (docs/notifications.md).");

const ping = z
  .strictObject({
    ...http,
    every: positiveDuration.prefault("5m").describe("How often."),
  })
  .superRefine(exactlyOne(urlOrigins))
  .meta(oneOf(urlOrigins))
  .describe(
    "Asks for a URL as long as every objective is met, and no longer: a dead man's switch tells when that ends.",
  );

/** Of RFC 5321, without quotes: nothing in it can mean anything else in a header. */
const mailbox = z.string().regex(/^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+(?:@[A-Za-z0-9.-]+)?$/, {
  error: "expected an address such as ops@example.net, without a name, or a local user",
});

const email = z
  .strictObject({
    to: z.array(mailbox).min(1, { error: "a mail needs somebody to go to" }).describe("Addresses."),
    from: mailbox.optional().describe("The sender's address. Default: as sendmail has it."),
    sendmail: path.default("/usr/sbin/sendmail").describe("The program that takes the mail, as `sendmail -t -i`."),
    timeout: positiveDuration.prefault("30s").describe("How long it may take."),
    on: events,
  })
  .describe("Sends mail by the host's sendmail.");

export const notifySettings = z
  .strictObject({
    webhook: webhook.optional(),
    email: email.optional(),
    ping: ping.optional(),
    interval: positiveDuration
      .prefault("5m")
      .describe("The least time between two messages by webhook, or by mail. What happens meanwhile comes in one."),
    remind: positiveDuration.optional().describe("When a trouble that lasts is told again. Default: never."),
  })
  .describe("Who is told, on hosts without Alertmanager.");

/** Makes the settings of what the file says; `resolve` makes an absolute path of a written one. */
export function resolveNotify(
  { webhook: hook, email: mail, ping: pinged, interval, remind }: z.output<typeof notifySettings>,
  resolve: (written: string) => string,
): NotifySettings {
  const file = (written: string | undefined): string | undefined =>
    written === undefined ? undefined : resolve(written);
  return {
    webhook: hook && {
      url: origin(hook, resolve),
      headersFile: file(hook.headers_file),
      caFile: file(hook.ca_file),
      timeout: hook.timeout,
      on: hook.on,
    },
    email: mail && { ...mail, from: mail.from, sendmail: resolve(mail.sendmail) },
    ping: pinged && {
      url: origin(pinged, resolve),
      caFile: file(pinged.ca_file),
      timeout: pinged.timeout,
      every: pinged.every,
    },
    interval,
    remind,
  };
}

function origin(
  { url_file: file, url_credential: name = "" }: { url_file?: string | undefined; url_credential?: string | undefined },
  resolve: (written: string) => string,
): SecretOrigin {
  return file === undefined ? { kind: "credential", name } : { kind: "file", path: resolve(file) };
}
