import * as fs from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/host/clock.ts";
import { messageOf } from "../../src/notify/deliver.ts";
import { sendPing, sendWebhook } from "../../src/notify/webhook.ts";
import { readHeaders, readUrl } from "../../src/notify/secrets.ts";
import { nodeFiles } from "../../src/host/node-files.ts";
import type { WebhookSettings } from "../../src/policy/config.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { startReceiver } from "../helpers/receiver.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { testCertificate } from "../helpers/test-certificate.ts";

const secret = "/T0K3N-of-the-webhook";
const message = messageOf(
  [{ id: "1", event: "test", subject: { kind: "test" }, since: 0, reminder: false, text: "nothing is wrong" }],
  0,
);
const { signal } = new AbortController();
const delivery = { clock: systemClock, signal };

async function settingsFor(url: string, headers = ""): Promise<WebhookSettings> {
  const folder = await tempDir();
  await fs.writeFile(join(folder, "url"), `${url}${secret}\n`);
  await fs.writeFile(join(folder, "headers"), headers);
  await fs.writeFile(join(folder, "ca"), testCertificate);
  return {
    url: { kind: "file", path: join(folder, "url") },
    headersFile: join(folder, "headers"),
    caFile: join(folder, "ca"),
    timeout: 10_000,
    on: [],
  };
}

describe("a webhook", () => {
  it("gets JSON by POST, with the headers of the file", async () => {
    const receiver = await startReceiver();
    const settings = await settingsFor(receiver.url, "Authorization: Bearer abc\n\nX-Team: recovery \n");
    await sendWebhook(settings, message, delivery);
    const [first] = receiver.received;
    expect(first).toMatchObject({
      method: "POST",
      path: secret,
      headers: { authorization: "Bearer abc", "x-team": "recovery", "content-type": "application/json" },
    });
    expect(JSON.parse(first?.body ?? "")).toMatchObject({ version: 1, notices: [{ event: "test" }] });
  });

  it("is trusted by the authorities of the file, and by no others", async () => {
    const receiver = await startReceiver({ tls: true });
    const settings = await settingsFor(receiver.url);
    await sendWebhook(settings, message, delivery);
    expect(receiver.received).toHaveLength(1);
    const error = await rejection(sendWebhook({ ...settings, caFile: undefined }, message, delivery));
    expect(error).toMatchObject({ code: "notification_failed" });
    expect(error.message).toContain("the connection failed (DEPTH_ZERO_SELF_SIGNED_CERT)");
    await fs.writeFile(settings.caFile ?? "", "rubbish");
    expect((await rejection(sendWebhook(settings, message, delivery))).message).toContain("it holds no certificate");
    expect(receiver.received).toHaveLength(1);
  });

  it.each([301, 403, 404, 500])("that answers %i has failed, and the error keeps its secret", async (status) => {
    const receiver = await startReceiver();
    receiver.status = status;
    const error = await rejection(sendWebhook(await settingsFor(receiver.url), message, delivery));
    expect(error).toMatchObject({ code: "notification_failed" });
    expect(error.message).toContain(`Cannot notify ${new URL(receiver.url).host}: it answered ${String(status)} `);
    expect(JSON.stringify([error, error.message, error.stack])).not.toContain("T0K3N");
    // A redirect isn't followed.
    expect(receiver.received).toHaveLength(1);
  });

  it("that isn't there has failed, and the error keeps its secret", async () => {
    const error = await rejection(sendWebhook(await settingsFor("http://127.0.0.1:1"), message, delivery));
    expect(error.message).toContain("Cannot notify 127.0.0.1:1: the connection failed (ECONNREFUSED).");
    expect(error.message).not.toContain("T0K3N");
  });

  it("that doesn't answer has failed when its time is over, and is given up at once when we end", async () => {
    const receiver = await startReceiver();
    receiver.status = undefined;
    const settings = await settingsFor(receiver.url);
    const clock = new ManualClock();
    const late = rejection(sendWebhook(settings, message, { clock, signal }));
    while (clock.sleeping === 0) await clock.advance(0);
    await clock.advance(10_000);
    expect((await late).message).toContain("no answer within 10 s");

    const controller = new AbortController();
    const ended = rejection(sendWebhook(settings, message, { clock, signal: controller.signal }));
    while (clock.sleeping === 0) await clock.advance(0);
    controller.abort();
    expect(await ended).toMatchObject({ code: "cancelled" });
  });
});

it("a ping is a GET of the URL", async () => {
  const receiver = await startReceiver();
  const { url, caFile, timeout } = await settingsFor(receiver.url);
  await sendPing({ url, caFile, timeout, every: 1 }, delivery);
  expect(receiver.received).toMatchObject([{ method: "GET", path: secret, body: "" }]);
});

describe("a secret", () => {
  it.each(["", "hooks.example.net/x", "file:///etc/passwd", "javascript:1"])(
    "that is %j isn't a URL to use",
    async (url) => {
      const path = join(await tempDir(), "url");
      await fs.writeFile(path, url);
      const error = await rejection(readUrl({ kind: "file", path }, { files: nodeFiles, environment: {} }));
      expect(error.message).toContain(`the first line of ${path} isn't a URL of http or https`);
      expect(error.message).not.toContain(url === "" ? "undefined" : url);
    },
  );

  it("is read from a systemd credential", async () => {
    const folder = await tempDir();
    const origin = { kind: "credential", name: "webhook" } as const;
    await fs.writeFile(join(folder, "webhook"), "https://hooks.example.net/x\nand more");
    const environment = { CREDENTIALS_DIRECTORY: folder };
    expect((await readUrl(origin, { files: nodeFiles, environment })).href).toBe("https://hooks.example.net/x");
    const error = await rejection(readUrl(origin, { files: nodeFiles, environment: {} }));
    expect(error.message).toContain("LoadCredential=webhook:");
  });

  it("that can't be read is named by its file", async () => {
    const path = join(await tempDir(), "missing");
    const error = await rejection(readHeaders(path, { files: nodeFiles, environment: {} }));
    expect(error.message).toContain(`Cannot notify: ${path} can't be read (ENOENT)`);
  });

  it("that isn't a header is named by its line", async () => {
    const path = join(await tempDir(), "headers");
    await fs.writeFile(path, "Authorization: Bearer abc\nBearer def\n");
    const error = await rejection(readHeaders(path, { files: nodeFiles, environment: {} }));
    expect(error.message).toContain(`line 2 of ${path} isn't a header`);
    expect(error.message).not.toMatch(/abc|def/);
  });
});
