/** The pages of the HTTP server. */
import { formatFor } from "../metrics/render.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { type Routes, text } from "./http-server.ts";
import type { SignsOfLife } from "./signs-of-life.ts";
import { type StatusSources, snapshotOf, statusOf } from "./status.ts";
import type { PageData } from "./control-protocol.ts";
import type { HistoryReader } from "./history-reader.ts";
import type { LiveFeed } from "./live-feed.ts";
import { documentOf } from "./page/document.ts";
import { rangeNamed } from "./page/scale.ts";
import { pageAssets, pageScript } from "./page-assets.ts";

export interface RouteOptions {
  readonly sources: StatusSources;
  readonly metrics: Metrics;
  readonly signs: Pick<SignsOfLife, "standstills">;
  readonly history: Pick<HistoryReader, "latest" | "read">;
  readonly feed: LiveFeed;
}

export function makeRoutes({ sources, metrics, signs, history, feed }: RouteOptions): Routes {
  return {
    "/": ({ query }) => {
      const range = rangeNamed(query.get("range"));
      const view = { status: statusOf(sources), history: history.latest, range };
      return { status: 200, contentType: "text/html; charset=utf-8", body: documentOf(view, { script: pageScript }) };
    },
    ...pageAssets,
    "/status.json": async () => {
      const all: PageData = { version: 1, history: await history.read(), status: statusOf(sources) };
      return { status: 200, contentType: "application/json", body: `${JSON.stringify(all)}\n` };
    },
    "/events": ({ lastEventId }) =>
      feed.isFull
        ? text(503, "too many look at the page")
        : { contentType: "text/event-stream", open: (response) => feed.add(response, lastEventId) },
    "/metrics": async ({ accept }) => {
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
