/** Reports for programs: snake_case names and RFC 3339 times, as in the configuration and the manifests. */

/** Members that hold a time in ms since the epoch, and that JSON shows as RFC 3339. */
const times = new Set([
  "started",
  "finished",
  "time",
  "since",
  "now",
  "loaded",
  "checked",
  "first",
  "last",
  "over",
  "nextRun",
  "nextSweep",
  "nextCheck",
  "nextVisit",
  "until",
  "lastSweep",
  "lastCheck",
]);

/** `report`, plain data, in the form that `--json` prints. What is undefined becomes null: every member is always there. */
export function describeReport(report: unknown): unknown {
  if (report === undefined || report === null) return null;
  if (Array.isArray(report)) return report.map(describeReport);
  if (typeof report !== "object") return report;
  return Object.fromEntries(
    Object.entries(report).map(([name, value]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      times.has(name) && typeof value === "number" ? new Date(value).toISOString() : describeReport(value),
    ]),
  );
}
