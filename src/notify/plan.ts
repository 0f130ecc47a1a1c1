/** What is to be told now, by what was told before. Pure. */
import { createHash } from "node:crypto";
import type { NotifyEvent } from "../policy/config.ts";
import { type Concern, describeSubject, keyOf, type Notice } from "./notice.ts";

/** The troubles that were told and aren't over, by the key of their subject. */
export type Told = Readonly<Record<string, { readonly since: number; readonly told: number }>>;

export interface Telling {
  readonly on: readonly NotifyEvent[];
  /** After how many ms a trouble is told again; undefined is never. */
  readonly remind: number | undefined;
  /** In ms since the epoch. */
  readonly now: number;
}

export interface Plan {
  readonly notices: readonly Notice[];
  /** What counts as told once the notices are delivered. */
  readonly told: Told;
}

/** When everything breaks at once, a message still is one that can be read; the rest comes in the next. */
const mostAtOnce = 100;

/**
 * Each trouble is told once, and again only as a reminder; that it is over is told once, too, of what was told as a trouble.
 * What isn't among the concerns any more, because the configuration doesn't name it, is forgotten without a word: nobody
 * knows whether it is well.
 */
export function planNotices(concerns: readonly Concern[], before: Told, telling: Telling): Plan {
  const notices: Notice[] = [];
  const told: Record<string, { since: number; told: number }> = {};
  for (const concern of concerns) {
    const key = keyOf(concern.subject);
    const known = knownOf(concern, before[key]);
    const notice = telling.on.includes(concern.event) ? noticeOf(concern, known, telling) : undefined;
    const delivered = notice === undefined || notices.length < mostAtOnce;
    if (notice !== undefined && delivered) notices.push(notice);
    // A trouble that isn't told yet isn't known next time either; the end of one is still to be told then.
    if (!delivered) {
      if (known !== undefined) told[key] = known;
    } else if (concern.trouble !== undefined && (known !== undefined || notice !== undefined)) {
      told[key] = {
        since: sinceOf(concern, known, telling),
        told: notice === undefined ? (known?.told ?? 0) : telling.now,
      };
    }
  }
  return { notices, told };
}

/** What was told of it; undefined when that was another one, before it began anew. */
function knownOf({ since }: Concern, told: Told[string] | undefined): Told[string] | undefined {
  return since === undefined || told?.since === since ? told : undefined;
}

function sinceOf({ since }: Concern, known: Told[string] | undefined, { now }: Telling): number {
  return since ?? known?.since ?? now;
}

function noticeOf(concern: Concern, known: Told[string] | undefined, telling: Telling): Notice | undefined {
  const { subject, event, trouble } = concern;
  const { on, remind, now } = telling;
  const since = sinceOf(concern, known, telling);
  const notice = { id: idOf(keyOf(subject), since), subject, since };
  const name = describeSubject(subject);
  if (trouble === undefined) {
    if (known === undefined || !on.includes("recovered")) return undefined;
    return { ...notice, event: "recovered", reminder: false, text: `${name}: all is well again` };
  }
  const reminder = known !== undefined;
  if (reminder && (remind === undefined || now - known.told < remind)) return undefined;
  return { ...notice, event, reminder, text: `${name}: ${trouble}` };
}

function idOf(key: string, since: number): string {
  return createHash("sha256")
    .update(`${key} ${String(since)}`)
    .digest("hex")
    .slice(0, 32);
}
