/** The files of config/grafana/, made of Grafana's own types. */
import { fleet } from "./fleet.ts";
import { oneSource } from "./source.ts";

/** Their texts, by name. */
export function dashboardFiles(): Readonly<Record<string, string>> {
  const text = (dashboard: object): string => `${JSON.stringify(dashboard, null, 2)}\n`;
  return { "stillpoint-fleet.json": text(fleet()), "stillpoint-source.json": text(oneSource()) };
}
