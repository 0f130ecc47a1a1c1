/** Notices as a message: JSON for programs (docs/notifications.md), words for people. */
import type { Notice } from "./notice.ts";

export interface Message {
  readonly host: string;
  /** When it was made, in ms since the epoch. */
  readonly time: number;
  /** At least one. */
  readonly notices: readonly Notice[];
}

/** What errors quote may be long; a message is no log. */
const longestText = 1000;

/** The body of a webhook's request. */
export function toJson(message: Message): string {
  const { host, time, notices } = message;
  return JSON.stringify({
    version: 1,
    host,
    time: rfc3339(time),
    text: `${summaryOf(message)}\n${linesOf(notices)}`,
    notices: notices.map(({ id, event, subject, since, reminder, text }) => {
      const { kind, ...names } = subject;
      return { id, event, kind, ...names, since: rfc3339(since), reminder, text: shortened(text) };
    }),
  });
}

/** `Stillpoint on host7: 2 failures, 1 recovered`. */
export function summaryOf({ host, notices }: Message): string {
  const count = (wanted: Notice["event"], one: string, several = one): string[] => {
    const { length } = notices.filter(({ event }) => event === wanted);
    return length === 0 ? [] : [`${String(length)} ${length === 1 ? one : several}`];
  };
  const parts = [
    ...count("failure", "failure", "failures"),
    ...count("objective_missed", "objective missed", "objectives missed"),
    ...count("recovered", "recovered"),
    ...count("test", "test"),
  ];
  return `Stillpoint on ${host}: ${parts.join(", ")}`;
}

/** For people, to its end. */
export function toText(message: Message): string {
  return `${linesOf(message.notices)}\n\n\`stillpoint status\` on ${message.host} shows how everything is now.\n`;
}

function linesOf(notices: readonly Notice[]): string {
  return notices
    .map(({ text, since, reminder }) => `- ${shortened(text)}${reminder ? ` (since ${rfc3339(since)})` : ""}`)
    .join("\n");
}

function shortened(text: string): string {
  return text.length <= longestText ? text : `${text.slice(0, longestText - 1)}…`;
}

function rfc3339(time: number): string {
  return new Date(time).toISOString();
}
