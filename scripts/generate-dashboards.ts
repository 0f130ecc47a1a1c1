/** Writes the dashboards of `config/grafana/`, which Grafana imports as they are. */

import { writeFile } from "node:fs/promises";
import { dashboardFiles } from "./dashboards/dashboards.ts";

for (const [name, text] of Object.entries(dashboardFiles())) {
  await writeFile(new URL(`../config/grafana/${name}`, import.meta.url), text);
}
