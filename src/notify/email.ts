/** A message as mail (RFC 5322), handed to the host's sendmail. */
import { randomBytes } from "../host/random.ts";
import { run } from "../host/process.ts";
import { isStillpointError, StillpointError } from "../errors.ts";
import type { EmailSettings } from "../policy/config.ts";
import { type Message, summaryOf, toText } from "./message.ts";

/** Throws `notification_failed` or `cancelled`. */
export async function sendMail(settings: EmailSettings, message: Message, signal: AbortSignal): Promise<void> {
  const { sendmail, timeout } = settings;
  try {
    // The recipients are in the mail (-t), and a line with a single dot doesn't end it (-i).
    await run([sendmail, "-t", "-i"], { input: composeMail(settings, message), timeout, signal });
  } catch (error) {
    if (!isStillpointError(error, "command_failed")) throw error;
    throw new StillpointError("notification_failed", {
      what: `Cannot notify by mail: ${error.parts.what}`,
      safe: "It will be told as soon as that is mended.",
      next: "Try it with `stillpoint notify test`.",
    });
  }
}

/** Whatever it is told of, the headers are those below: addresses come checked, everything else is encoded. */
export function composeMail(
  { to, from }: Pick<EmailSettings, "to" | "from">,
  message: Message,
  id: string = randomBytes(16).toString("hex"),
): string {
  const headers = [
    ...(from === undefined ? [] : [`From: ${from}`]),
    `To: ${to.join(",\n ")}`,
    `Subject: ${encodeWords(summaryOf(message))}`,
    `Date: ${new Date(message.time).toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${id}@stillpoint.invalid>`,
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
  ];
  const body =
    Buffer.from(toText(message))
      .toString("base64")
      .match(/.{1,76}/g) ?? [];
  // sendmail takes lines as they are usual on the host, and makes those of SMTP of them.
  return `${[...headers, "", ...body].join("\n")}\n`;
}

/** Bytes in an encoded word, so that a line has 76 characters at most, `Subject: ` included (RFC 2047 section 2). */
const bytesOfWord = 39;

/** Printable ASCII as it is, when it is short enough for one line; anything else as encoded words. */
function encodeWords(text: string): string {
  if (/^[\x20-\x7e]{0,60}$/.test(text) && !text.includes("=?")) return text;
  const words: string[] = [];
  let word = "";
  for (const character of text) {
    if (Buffer.byteLength(word + character) > bytesOfWord) {
      words.push(word);
      word = "";
    }
    word += character;
  }
  return [...words, word].map((one) => `=?utf-8?B?${Buffer.from(one).toString("base64")}?=`).join("\n ");
}
