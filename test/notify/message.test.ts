import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { composeMail } from "../../src/notify/email.ts";
import { type Message, toJson } from "../../src/notify/message.ts";
import type { Notice } from "../../src/notify/notice.ts";

const since = Date.UTC(2026, 10, 22, 11, 30);
const notices: readonly Notice[] = [
  {
    id: "0123456789abcdef0123456789abcdef",
    event: "failure",
    subject: { kind: "capture", policy: "files", source: "www" },
    since,
    reminder: false,
    text: "capture of www (files): failed 2 times in a row: Cannot read /srv/www: there is no such folder",
  },
  {
    id: "00000000000000000000000000000001",
    event: "objective_missed",
    subject: { kind: "objective", policy: "files", source: "www", location: "dc2" },
    since: since - 86_400_000,
    reminder: true,
    text: "objective of www (files) at dc2: missed: its newest recovery point is 25h old, and 1h is promised",
  },
  {
    id: "00000000000000000000000000000002",
    event: "recovered",
    subject: { kind: "prune", policy: "files", location: "primary" },
    since,
    reminder: false,
    text: "prune of files at primary: all is well again",
  },
];
const message: Message = { host: "host7", time: since + 60_000, notices };

function read(file: string): string {
  return readFileSync(join(import.meta.dirname, "../..", file), "utf8");
}

describe("the JSON of a webhook", () => {
  it("is what docs/notifications.md shows, to the byte", () => {
    const golden = read("test/vectors/notification-v1");
    expect(`${toJson(message)}\n`).toBe(golden);
    const shown = /```json\n([^]*?)```/.exec(read("docs/notifications.md"))?.[1] ?? "";
    expect(JSON.parse(shown)).toEqual(JSON.parse(golden));
  });

  it("is bounded, however long an error is", () => {
    const [first] = notices;
    if (first === undefined) throw new Error("no notice");
    const long = { ...message, notices: Array.from({ length: 100 }, () => ({ ...first, text: "x".repeat(100_000) })) };
    expect(toJson(long).length).toBeLessThan(250_000);
  });
});

describe("a mail", () => {
  const to = ["ops@example.net", "root"];

  it("has the headers that a mail needs, and the text in base64", () => {
    const mail = composeMail({ to, from: "stillpoint@host7.example.net" }, message, "id");
    const [headers = "", body = ""] = mail.split("\n\n");
    expect(headers.split("\n")).toEqual([
      "From: stillpoint@host7.example.net",
      "To: ops@example.net,",
      " root",
      "Subject: =?utf-8?B?U3RpbGxwb2ludCBvbiBob3N0NzogMSBmYWlsdXJlLCAxIG9iamVj?=",
      " =?utf-8?B?dGl2ZSBtaXNzZWQsIDEgcmVjb3ZlcmVk?=",
      "Date: Sun, 22 Nov 2026 11:31:00 +0000",
      "Message-ID: <id@stillpoint.invalid>",
      "Auto-Submitted: auto-generated",
      "MIME-Version: 1.0",
      "Content-Type: text/plain; charset=utf-8",
      "Content-Transfer-Encoding: base64",
    ]);
    expect(Buffer.from(body, "base64").toString()).toBe(
      [
        "- capture of www (files): failed 2 times in a row: Cannot read /srv/www: there is no such folder",
        "- objective of www (files) at dc2: missed: its newest recovery point is 25h old, and 1h is promised (since 2026-11-21T11:30:00.000Z)",
        "- prune of files at primary: all is well again",
        "",
        "`stillpoint status` on host7 shows how everything is now.",
        "",
      ].join("\n"),
    );
    for (const line of mail.split("\n")) expect(line.length).toBeLessThanOrEqual(76);
  });

  it("has no other headers, whatever hosts and errors are called", () => {
    const hostile = "x\r\nBcc: everybody@example.org\n\n.\n\u{1f4a3}=?utf-8?Q?a?=";
    const [first] = notices;
    if (first === undefined) throw new Error("no notice");
    const mail = composeMail(
      { to, from: undefined },
      { ...message, host: hostile, notices: [{ ...first, text: hostile }] },
    );
    const [headers = "", ...bodies] = mail.split("\n\n");
    expect(bodies).toHaveLength(1);
    const names = headers.split("\n").filter((line) => !line.startsWith(" "));
    expect(names.map((line) => line.split(":")[0])).toEqual([
      "To",
      "Subject",
      "Date",
      "Message-ID",
      "Auto-Submitted",
      "MIME-Version",
      "Content-Type",
      "Content-Transfer-Encoding",
    ]);
    const words = headers.matchAll(/=\?utf-8\?B\?([A-Za-z0-9+/=]*)\?=/g);
    const subject = Array.from(words, ([, word = ""]) => Buffer.from(word, "base64").toString()).join("");
    expect(subject).toBe(`Stillpoint on ${hostile}: 1 failure`);
  });
});
