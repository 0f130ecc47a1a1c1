/** Times on the command line, as `list` shows them: a day, a minute or a second, in UTC. */
import { StillpointError } from "../errors.ts";

const pattern = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d))?Z?)?$/;
const lengths = { day: 86_400_000, minute: 60_000, second: 1000 };

/** The last ms of the day, minute or second that `text` names; undefined when it is no time at all. Throws `usage` for one that never is. */
export function endOfMoment(text: string): number | undefined {
  const [found, day = "", minute, second] = pattern.exec(text) ?? [];
  if (found === undefined) return undefined;
  const start = Date.parse(`${day}T${minute ?? "00:00"}:${second ?? "00"}Z`);
  const unit = minute === undefined ? "day" : second === undefined ? "minute" : "second";
  // Date.parse takes 30 February for 2 March.
  if (!Number.isNaN(start) && new Date(start).toISOString().startsWith(day)) return start + lengths[unit] - 1;
  throw new StillpointError("usage", {
    what: `There is no time ${text}`,
    next: "Write a day as 2026-11-17, or a time in UTC as 2026-11-17T14:00.",
  });
}
