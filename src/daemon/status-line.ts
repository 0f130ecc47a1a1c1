/** The daemon's state in one line, as `systemctl status` shows it. */
import { formatDuration } from "../policy/units.ts";
import type { DaemonStatus, PointStatus } from "./control-protocol.ts";

export type StatusOfLine = Pick<DaemonStatus, "now" | "policies" | "points" | "config" | "notReady">;

/** `3 policies, oldest recovery point 7 min, objectives met`. The worst comes first. */
export function statusLine({ now, policies, points, config, notReady }: StatusOfLine): string {
  const running = policies.filter((policy) => policy.running).map(({ policy }) => policy);
  return [
    ...(config.current ? [] : ["the configuration file is refused, the one before is in force"]),
    ...(config.current && notReady[0] !== undefined ? [`not ready: ${notReady[0].replace(/\.$/, "")}`] : []),
    policies.length === 1 ? "1 policy" : `${String(policies.length)} policies`,
    ...oldest(points, now),
    ...objectives(points, now),
    ...(running.length === 0 ? [] : [`at work: ${running.join(", ")}`]),
  ].join(", ");
}

/** The age of the series that is worst off: of each source at each location the newest point counts. */
function oldest(points: readonly PointStatus[], now: number): string[] {
  const never = points.find(({ newest }) => newest === undefined);
  if (never !== undefined) return [`no recovery point of ${never.source} at ${never.location}`];
  if (points.length === 0) return [];
  const age = Math.max(...points.map(({ newest }) => now - (newest?.time ?? now)));
  return [`oldest recovery point ${formatAge(age)}`];
}

function objectives(points: readonly PointStatus[], now: number): string[] {
  const promised = points.filter(({ objective }) => objective !== undefined);
  const missed = promised.filter(
    ({ newest, objective = Infinity }) => newest === undefined || now - newest.time > objective,
  );
  const [first] = missed;
  if (promised.length === 0) return [];
  if (first === undefined) return ["objectives met"];
  const others = missed.length === 1 ? "" : ` and ${String(missed.length - 1)} more`;
  return [`objective missed: ${first.source} at ${first.location}${others}`];
}

/** By the minute, and from two hours on by the hour: the line isn't sent more often than it says something new. */
function formatAge(ms: number): string {
  const minutes = Math.max(0, Math.floor(ms / 60_000));
  return minutes < 120 ? `${String(minutes)} min` : formatDuration(Math.floor(minutes / 60) * 3_600_000);
}
