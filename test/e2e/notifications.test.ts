import * as fs from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stillpoint } from "../cli/harness.ts";
import { type Receiver, startReceiver } from "../helpers/receiver.ts";
import { eventually, RunningDaemon, samplesAt } from "../helpers/running-daemon.ts";
import { makeSite, type Site } from "../helpers/site.ts";

/** What a webhook has been told: `failure capture`, in the order of time. */
function told({ received }: Receiver): string[] {
  return received.flatMap(({ body }) => {
    const { notices } = JSON.parse(body) as { notices: { event: string; kind: string; location?: string }[] };
    return notices.map(({ event, kind, location }) => [event, kind, location].filter(Boolean).join(" "));
  });
}

/** The texts of all mails, decoded. */
async function mails({ at }: Site): Promise<string[]> {
  const text = await fs.readFile(at("mailbox"), "utf8").catch(() => "");
  return text
    .split("--- end of mail\n")
    .filter(Boolean)
    .map((mail) => Buffer.from(mail.split("\n\n")[1] ?? "", "base64").toString());
}

async function notifyingSite(objectives: string): Promise<{ site: Site; webhook: Receiver; ping: Receiver }> {
  const [webhook, ping] = [await startReceiver(), await startReceiver()];
  const site = await makeSite({
    rest: `
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { cron: "*/2 * * * * *" }
    objectives: ${objectives}
    keep: { last: 5 }
daemon:
  listen: "127.0.0.1:0"
  notify:
    webhook: { url_file: webhook }
    email: { to: [ops@example.net], sendmail: sendmail }
    ping: { url_file: ping, every: 1s }
    interval: 1s
`,
  });
  await fs.writeFile(site.at("webhook"), `${webhook.url}/T0K3N`);
  await fs.writeFile(site.at("ping"), `${ping.url}/P1NG`);
  const script = `#!/bin/sh\n[ "$*" = "-t -i" ] || exit 64\n{ cat; echo "--- end of mail"; } >>${site.at("mailbox")}\n`;
  await fs.writeFile(site.at("sendmail"), script, { mode: 0o755 });
  return { site, webhook, ping };
}

/** Waits until the daemon has noted whether the failure counts as told by the channel: killed before, it would tell it again. */
async function noted({ config }: Site, channel: string, isTold: boolean): Promise<void> {
  await eventually(async () => {
    const text = await fs.readFile(join(config.repository.state, "notifications.json"), "utf8").catch(() => "{}");
    const { channels = {} } = JSON.parse(text) as { channels?: Record<string, { told: object }> };
    return "capture/often/docs//" in (channels[channel]?.told ?? {}) === isTold ? true : undefined;
  });
}

async function pinged({ received }: Receiver, times: number): Promise<void> {
  const from = received.length;
  await eventually(() => (received.length >= from + times ? true : undefined));
}

describe("notifications of a real daemon", () => {
  it("tell a failure once, although the daemon is killed, and once that it is over", async () => {
    const { site, webhook, ping } = await notifyingSite("{ rpo: 1h }");
    const first = new RunningDaemon(site.configFile);
    await first.started();
    await pinged(ping, 1);
    await fs.rename(site.at("docs"), site.at("gone"));
    await noted(site, "webhook", true);
    await noted(site, "email", true);
    await first.kill();

    const second = new RunningDaemon(site.configFile);
    const url = await second.started();
    // Each ping is a look at everything.
    await pinged(ping, 2);
    expect(told(webhook)).toEqual(["failure capture"]);
    expect(await mails(site)).toEqual([expect.stringMatching(/^- capture of docs \(often\): failed.*: /)]);

    webhook.status = 500;
    await fs.rename(site.at("gone"), site.at("docs"));
    const failed = await second.line(({ message }) => message === "notification not delivered");
    expect(JSON.stringify(failed)).toContain("it answered 500 Internal Server Error");
    const metric = 'stillpoint_notification_consecutive_failures{channel="webhook"}';
    await eventually(async () => (((await samplesAt(url)).get(metric) ?? 0) > 0 ? true : undefined));
    await noted(site, "email", false);
    await second.kill();

    webhook.status = 200;
    webhook.received.length = 0;
    const third = new RunningDaemon(site.configFile);
    await third.started();
    await noted(site, "webhook", false);
    await pinged(ping, 2);
    expect(told(webhook)).toEqual(["recovered capture"]);
    const texts = (await mails(site)).join();
    // The mail of the second daemon tells of the webhook, too.
    expect(texts.match(/capture of docs \(often\): all is well again/g)).toHaveLength(1);
    for (const { lines, errors } of [first, second, third]) {
      expect(JSON.stringify(lines) + errors).not.toMatch(/T0K3N|P1NG/);
    }
    expect(await third.end("SIGTERM")).toBe(0);
  });

  it("tell that an objective is missed, and ping no more until it is met again", async () => {
    const { site, webhook, ping } = await notifyingSite("{ rpo: 8s }");
    const daemon = new RunningDaemon(site.configFile);
    const url = await daemon.started();
    await pinged(ping, 1);
    await fs.rename(site.at("docs"), site.at("gone"));
    // A busy machine may have missed it before, and met it again. From the first failure on nothing meets it any more.
    await daemon.line(({ message }) => message === "capture failed");
    const met = 'stillpoint_recovery_point_objective_met{policy="often",source="docs",location="primary"}';
    await eventually(async () => ((await samplesAt(url)).get(met) === 0 ? true : undefined));
    const last = (): string | undefined => told(webhook).findLast((one) => one.endsWith("objective primary"));
    await eventually(() => (last() === "objective_missed objective primary" ? true : undefined));
    const pings = ping.received.length;

    const { status, stdout } = await stillpoint(["notify", "test", "--config", site.configFile]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "webhook: sent\nemail: sent\n" });
    expect(told(webhook)).toContain("test test");
    expect(ping.received).toHaveLength(pings);

    await fs.rename(site.at("gone"), site.at("docs"));
    await eventually(() => (told(webhook).includes("recovered objective primary") ? true : undefined));
    await pinged(ping, 1);
  });
});
