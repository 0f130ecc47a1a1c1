/** What is told, as plain data (docs/notifications.md). Times in ms since the epoch. */
import type { NotifyEvent } from "../policy/config.ts";

/** What may be in trouble, by names of the configuration. */
export interface Subject {
  readonly kind:
    | "capture"
    | "replication"
    | "lock"
    | "deletion"
    | "sharing"
    | "prune"
    | "sweep"
    | "check"
    | "damage"
    | "objective"
    | "configuration"
    | "notification"
    | "test";
  readonly policy?: string;
  readonly source?: string;
  readonly location?: string;
  readonly channel?: ChannelName;
}

export const channelNames = ["webhook", "email", "ping"] as const;
export type ChannelName = (typeof channelNames)[number];

/** Something that is looked after, and how it is. */
export interface Concern {
  readonly subject: Subject;
  /** As what its trouble is told. */
  readonly event: Exclude<NotifyEvent, "recovered">;
  /** In words, without a full stop at the end; undefined when all is well. */
  readonly trouble: string | undefined;
  /** When it began, where one that began anew is to be told anew; in ms since the epoch. */
  readonly since?: number;
}

export interface Notice {
  /** The same for a trouble, its reminders, and the news that it is over. */
  readonly id: string;
  readonly event: NotifyEvent | "test";
  readonly subject: Subject;
  /** When the trouble was seen first. */
  readonly since: number;
  /** Whether it was told before. */
  readonly reminder: boolean;
  readonly text: string;
}

/** Unique among the subjects of a configuration: names have no slashes. */
export function keyOf({ kind, policy, source, location, channel }: Subject): string {
  return [kind, policy, source, location, channel].map((part) => part ?? "").join("/");
}

/** `capture of www (files)`, `prune of files at dc2`, `check at primary`. */
export function describeSubject({ kind, policy, source, location, channel }: Subject): string {
  const what = source === undefined ? policy : `${source} (${policy ?? ""})`;
  return [
    kind,
    what === undefined ? "" : ` of ${what}`,
    location === undefined ? "" : ` ${kind === "replication" ? "to" : "at"} ${location}`,
    channel === undefined ? "" : ` by ${channel}`,
  ].join("");
}
