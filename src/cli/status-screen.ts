/** What `stillpoint status` shows, as lines: whether all is well first, then how old everything is, what runs, and what is wrong. Pure. */
import type { DaemonStatus, LocationStatus, PolicyStatus, WorkStatus } from "../daemon/control-protocol.ts";
import { primaryName } from "../job/locations.ts";
import { count, formatAge, formatBytes, formatTime, printable } from "./format.ts";
import type { Output } from "./output.ts";
import { ageOf, nameOf, stateOf, type StatusView, type Trouble, troublesOf, verdictOf } from "./status-facts.ts";
import { type Column, formatTable } from "./table.ts";
import { wrap } from "./wrap.ts";

export type Screen = Pick<Output, "style" | "width">;

export function statusLines(view: StatusView, screen: Screen): string[] {
  const { daemon, look, now } = view;
  return [
    ...headOf(view, screen),
    "",
    ...pointLines(view, screen),
    ...(daemon === undefined ? [] : workLines(daemon.work, now, screen)),
    ...(daemon === undefined ? [] : nextLines(daemon, now, screen)),
    ...(daemon === undefined ? [] : locationLines(daemon.locations, now, screen)),
    ...troubleLines(troublesOf(daemon, look), screen),
  ];
}

function headOf(view: StatusView, { style }: Screen): string[] {
  const { daemon, now } = view;
  const { text, good } = verdictOf(view);
  const verdict = style(good ? "green" : "red", text);
  if (daemon === undefined) {
    return [
      `No daemon runs: ${verdict}`,
      "Nothing is captured on schedule. `stillpoint daemon` starts one; with systemd: `systemctl start stillpoint`.",
    ];
  }
  const { version, host, pid, started, address, notReady } = daemon;
  return [
    `Stillpoint on ${style("bold", printable(host))}: ${verdict}`,
    style("dim", `version ${version}, process ${pid}, for ${formatAge(now - started)}; ${address}`),
    ...notReady.map((sentence) => style("red", sentence)),
  ];
}

const pointColumns: readonly Column[] = [
  { title: "POLICY", cut: true },
  { title: "SOURCE", cut: true },
  { title: "LOCATION", cut: true },
  { title: "NEWEST" },
  { title: "TIME (UTC)" },
  { title: "AGE", align: "right" },
  { title: "OBJECTIVE", align: "right" },
  { title: "" },
];

function pointLines({ look, now }: StatusView, screen: Screen): string[] {
  const away = new Set(look.locations.filter(({ reachable }) => !reachable).map(({ location }) => location));
  const rows = look.points.map((point) => [
    point.policy,
    point.source,
    point.location,
    point.newest?.id.slice(0, 8) ?? "",
    point.newest === undefined ? "never" : formatTime(point.newest.time),
    formatAge(ageOf(point, now) ?? Number.POSITIVE_INFINITY),
    point.objective === undefined ? "" : formatAge(point.objective),
    stateOf(point, now, away.has(point.location)),
  ]);
  return tableLines(pointColumns, rows, screen);
}

/** The last column is coloured: green for `ok`, red for what begins with a capital. */
function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[], screen: Screen): string[] {
  const [title = "", ...lines] = formatTable(columns, rows, screen.width);
  const coloured = lines.map((line, index) => {
    const last = rows[index]?.at(-1) ?? "";
    if (last === "" || !line.endsWith(last)) return line;
    const colour = /^[A-Z]/.test(last) ? "red" : last === "ok" ? "green" : "yellow";
    return line.slice(0, line.length - last.length) + screen.style(colour, last);
  });
  return [screen.style("bold", title), ...coloured];
}

function section(title: string, lines: readonly string[], { style }: Screen): string[] {
  return lines.length === 0 ? [] : ["", style("bold", title), ...lines];
}

const barLength = 20;

function workLines(work: readonly WorkStatus[], now: number, screen: Screen): string[] {
  const rows = work.map((one) => [`  ${nameOf(one)}`, bar(one), progressOf(one), durationOf(one, now)]);
  const columns: readonly Column[] = [{ title: "", cut: true }, { title: "" }, { title: "" }, { title: "" }];
  return section("Running", formatTable(columns, rows, screen.width).slice(1), screen);
}

function bar({ done = 0, total }: WorkStatus): string {
  if (total === undefined || total === 0) return "";
  const filled = Math.floor((done / total) * barLength);
  return `[${"#".repeat(filled)}${".".repeat(barLength - filled)}]`;
}

/** `1.2 GiB of 3.4 GiB, 35 %, 50.0 MiB/s, 3m left`, as far as it is known. */
export function progressOf({ done, total, rate, timeLeft }: WorkStatus): string {
  if (done === undefined) return "";
  const known = total !== undefined && total > 0 && done <= total;
  return [
    known ? `${formatBytes(done)} of ${formatBytes(total)}, ${Math.floor((done / total) * 100)} %` : formatBytes(done),
    rate !== undefined && `${formatBytes(rate)}/s`,
    timeLeft !== undefined && `${formatAge(timeLeft)} left`,
  ]
    .filter((part) => part !== false)
    .join(", ");
}

function durationOf({ started }: WorkStatus, now: number): string {
  return started === undefined ? "waits for its turn" : `for ${formatAge(Math.max(0, now - started))}`;
}

function nextLines({ policies, maintenance }: DaemonStatus, now: number, screen: Screen): string[] {
  const at = (time: number | undefined): string =>
    time === undefined ? "when asked to" : `in ${formatAge(Math.max(0, time - now))}`;
  const rows = [
    ...policies.map((policy) => [`  ${policy.policy}`, at(policy.nextRun), lastOf(policy, now)]),
    ["  sweep", at(maintenance.nextSweep), ""],
    ["  check", at(maintenance.nextCheck), ""],
  ];
  const columns: readonly Column[] = [{ title: "", cut: true }, { title: "" }, { title: "", cut: true }];
  return section("Next runs", formatTable(columns, rows, screen.width).slice(1), screen);
}

function lastOf({ running, lastJob }: PolicyStatus, now: number): string {
  const last =
    lastJob === undefined ? "" : `the last one ended ${formatAge(now - lastJob.finished)} ago: ${lastJob.outcome}`;
  return running ? ["runs now", last].filter((part) => part !== "").join("; ") : last;
}

const locationColumns: readonly Column[] = [
  { title: "LOCATION", cut: true },
  { title: "FROM", cut: true },
  { title: "POINTS", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "FREE", align: "right" },
  { title: "LACKS" },
  { title: "CHECKED" },
  { title: "" },
];

function locationLines(locations: readonly LocationStatus[], now: number, screen: Screen): string[] {
  // Where every replica is filled from the primary, that need not be said.
  const chained = locations.some(({ replications }) => replications.some(({ from }) => from !== primaryName));
  const rows = locations.map((one) => {
    const { location, points, sizeBytes, freeBytes, backlog, replications, lastCheck } = one;
    const lacks = backlog.reduce((sum, { points: lacking }) => sum + lacking, 0);
    return [
      location,
      ...(chained ? [[...new Set(replications.map(({ from }) => from))].join(", ")] : []),
      String(points.reduce((sum, source) => sum + source.count, 0)),
      sizeBytes === undefined ? "" : formatBytes(sizeBytes),
      freeBytes === undefined ? "" : formatBytes(freeBytes),
      lacks === 0 ? "" : count(lacks, "point"),
      lastCheck === undefined ? "never" : `${formatAge(now - lastCheck)} ago`,
      stateAt(one),
    ];
  });
  const columns = locationColumns.filter(({ title }) => chained || title !== "FROM");
  const [titles = "", ...lines] = tableLines(columns, rows, screen);
  return rows.length === 0 ? [] : ["", titles, ...lines];
}

function stateAt({ reachable, error, findings = 0, replications }: LocationStatus): string {
  if (!reachable) return error === undefined ? "not looked at yet" : "UNREACHABLE";
  if (findings > 0) return `DAMAGED: ${count(findings, "finding")}`;
  const unlocked = replications.reduce((sum, one) => sum + (one.unlocked ?? 0), 0);
  return unlocked > 0 ? `NOT LOCKED: ${count(unlocked, "point")}` : "ok";
}

function troubleLines(troubles: readonly Trouble[], screen: Screen): string[] {
  const lines = troubles.flatMap(({ what, messages }) => [
    `  ${screen.style("red", what)}`,
    ...messages.flatMap((message) =>
      message.split("\n").flatMap((line) => wrap(printable(line), screen.width, "    ")),
    ),
  ]);
  return section("Failing", lines, screen);
}
