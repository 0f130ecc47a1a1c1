/** The pages of the HTTP server. */
import { formatFor } from "../metrics/render.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Clock } from "../host/clock.ts";
import { type Routes, text } from "./http-server.ts";
import type { SignsOfLife } from "./signs-of-life.ts";
import { type StatusSources, snapshotOf, statusOf } from "./status.ts";
import { statusPage } from "./status-page.ts";

export interface RouteOptions {
  readonly sources: StatusSources;
  readonly metrics: Metrics;
  readonly signs: Pick<SignsOfLife, "standstills">;
  readonly clock: Clock;
}

export function makeRoutes({ sources, metrics, signs, clock }: RouteOptions): Routes {
  return {
    "/": () => ({
      status: 200,
      contentType: "text/html; charset=utf-8",
      body: statusPage(statusOf(sources), clock.now()),
    }),
    "/metrics": async (accept) => {
      const { contentType, text: body } = await metrics.render(snapshotOf(sources), formatFor(accept));
      return { status: 200, contentType, body };
    },
    "/healthz": () => {
      const { standstills } = signs;
      return standstills.length === 0 ? text(200, "ok") : text(503, standstills.join("\n"));
    },
    "/readyz": () => {
      const { notReady } = statusOf(sources);
      return notReady.length === 0 ? text(200, "ready") : text(503, notReady.join("\n"));
    },
  };
}
