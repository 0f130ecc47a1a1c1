import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { serveHttp } from "../../src/daemon/http-server.ts";
import { LiveFeed } from "../../src/daemon/live-feed.ts";
import { silentLogger } from "../../src/host/log.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { madeHistory, madeStatus } from "../helpers/made-status.ts";

/** A server with nothing but the feed, and what it tells. */
async function served() {
  const clock = new ManualClock();
  const told = { status: madeStatus(), history: madeHistory, asked: 0 };
  const status = () => {
    told.asked += 1;
    return told.status;
  };
  const feed = new LiveFeed({ status, history: () => told.history, clock, log: silentLogger });
  const server = await serveHttp(
    { host: "127.0.0.1", port: 0 },
    { "/events": ({ lastEventId }) => ({ contentType: "text/event-stream", open: (to) => feed.add(to, lastEventId) }) },
    silentLogger,
  );
  onTestFinished(async () => await server.close());
  return { clock, told, feed, url: server.url };
}

interface Heard {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: unknown;
}

/** A client that hears everything. */
async function listen(url: string, lastEventId?: string) {
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const headers = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
  const response = await fetch(`${url}/events`, { headers, signal: stop.signal });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const heard: Heard[] = [];
  let rest = "";
  /** Hears until there are so many events in all. */
  const until = async (count: number): Promise<Heard[]> => {
    while (heard.length < count) {
      rest += (await reader?.read())?.value ?? "";
      const blocks = rest.split("\n\n");
      rest = blocks.pop() ?? "";
      heard.push(...blocks.filter((block) => block.includes("data:")).map(parse));
    }
    return heard;
  };
  return { until, stop };
}

function parse(block: string): Heard {
  const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
  return { id: field("id"), event: field("event") ?? "", data: JSON.parse(field("data") ?? "") };
}

/** Ticks, until something comes true. */
async function settled(look: () => boolean): Promise<void> {
  while (!look()) await new Promise((resolve) => void setImmediate(resolve));
}

it("tells everything at first, and then what changes, each kind for itself", async () => {
  const { clock, told, url } = await served();
  const { until } = await listen(url);
  expect((await until(3)).map(({ event }) => event)).toEqual(["status", "work", "history"]);
  const task = { stage: "sweep", policy: undefined, source: undefined, location: "primary", started: 1 } as const;
  const work = [{ ...task, done: undefined, total: undefined, rate: undefined, timeLeft: undefined }];
  told.status = madeStatus({ work, now: told.status.now + 1000 });
  await clock.advance(1000);
  expect((await until(4)).at(-1)).toMatchObject({ event: "work", data: { work: [{ stage: "sweep" }] } });
  told.status = madeStatus({ work, notReady: ["far has not been looked at yet."] });
  await clock.advance(1000);
  expect((await until(5)).at(-1)).toMatchObject({ event: "status", data: { notReady: [expect.any(String)] } });
});

it("says nothing when nothing changes but that it is alive", async () => {
  const { clock, told, url } = await served();
  const { until } = await listen(url);
  await until(3);
  for (let second = 1; second <= 20; second += 1) {
    told.status = madeStatus({ now: told.status.now + 1000 });
    await clock.advance(1000);
  }
  expect((await until(4)).map(({ event }) => event).slice(3)).toEqual(["heartbeat"]);
});

it("tells a client that comes back only what is new to it", async () => {
  const { told, url } = await served();
  const first = await listen(url);
  const id = (await first.until(3)).at(-1)?.id;
  first.stop.abort();
  const again = await listen(url, id);
  expect((await again.until(1)).map(({ event }) => event)).toEqual(["work"]);
  told.status = madeStatus({ notReady: ["far has not been looked at yet."] });
  const later = await listen(url, id);
  expect((await later.until(2)).map(({ event }) => event)).toEqual(["status", "work"]);
  const stranger = await listen(url, "elsewhere.1.1");
  expect(await stranger.until(3)).toHaveLength(3);
});

it("does nothing while nobody looks", async () => {
  const { clock, told, url } = await served();
  const { until, stop } = await listen(url);
  await until(3);
  stop.abort();
  await settled(() => clock.sleeping === 0);
  const { asked } = told;
  await clock.advance(60_000);
  expect(told.asked).toBe(asked);
});

it("serves so many, and no more", async () => {
  const { feed, url } = await served();
  for (let client = 0; client < 16; client += 1) await (await listen(url)).until(3);
  expect(feed.isFull).toBe(true);
});

it("drops a client that doesn't read, and sends it nothing more before that", async () => {
  const { clock, told, feed, url } = await served();
  const socket: Socket = connect(Number(new URL(url).port), "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.pause();
  socket.write("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await settled(() => clock.sleeping > 0);
  const closed = once(socket, "close");
  // More than the system's buffers take; then something else at every tick.
  const big = "x".repeat(16_000_000);
  for (let second = 0; second < 40 && clock.sleeping > 0; second += 1) {
    told.status = madeStatus({ notReady: [second === 0 ? big : String(second)] });
    await clock.advance(1000);
    await new Promise((resolve) => void setImmediate(resolve));
  }
  expect(clock.sleeping).toBe(0);
  expect(feed.isFull).toBe(false);
  let received = "";
  socket.setEncoding("utf8").on("data", (piece: string) => (received += piece));
  socket.resume();
  await closed;
  expect(received.match(/^event: status$/gm)?.length).toBeLessThanOrEqual(2);
});
