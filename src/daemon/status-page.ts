/** The page at `/`: where to look, and how old everything is. */
import { formatDuration } from "../policy/units.ts";
import type { DaemonStatus } from "./control-protocol.ts";

export function statusPage({ version, notReady, points, locations }: DaemonStatus, now: number): string {
  const ages = points.map(({ policy, source, location, newest, objective }) => [
    policy,
    source,
    location,
    newest === undefined ? "never captured" : age(now - newest.time),
    objective === undefined ? "" : formatDuration(objective),
  ]);
  const places = locations.map(({ location, reachable, error }) => [
    location,
    reachable ? "reachable" : (error?.message ?? "not looked at yet"),
  ]);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Stillpoint</title>
<style>body{font-family:sans-serif;margin:2em}td,th{text-align:left;padding:.2em 1em .2em 0}</style></head>
<body><h1>Stillpoint ${escape(version)}</h1>
<p><a href="/metrics">metrics</a> <a href="/healthz">health</a> <a href="/readyz">readiness</a></p>
${notReady.map((why) => `<p>${escape(why)}</p>`).join("\n")}
<h2>Newest recovery points</h2>
${table(["policy", "source", "location", "age", "objective"], ages)}
<h2>Locations</h2>
${table(["location", "state"], places)}
</body></html>
`;
}

/** Whole seconds: nobody reads a page more exactly. */
function age(ms: number): string {
  return formatDuration(Math.max(0, Math.round(ms / 1000) * 1000));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("")}</tr>`;
  return `<table>${line(head, "th")}${rows.map((row) => line(row, "td")).join("")}</table>`;
}

function escape(text: string): string {
  const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replaceAll(/[&<>"]/g, (character) => entities[character] ?? "");
}
