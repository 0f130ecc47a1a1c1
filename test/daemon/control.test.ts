import * as fs from "node:fs/promises";
import { connect, createServer } from "node:net";
import { once } from "node:events";
import { describe, expect, it, onTestFinished } from "vitest";
import { askReload, askRun, askStatus } from "../../src/daemon/control-client.ts";
import { controlSocketOf } from "../../src/daemon/control-protocol.ts";
import { type ControlHandler, serveControl } from "../../src/daemon/control-server.ts";
import { StillpointError } from "../../src/errors.ts";
import { systemClock } from "../../src/host/clock.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";

async function served(handle: ControlHandler, clock = systemClock): Promise<string> {
  const state = await tempDir();
  const server = await serveControl(controlSocketOf(state), handle, clock);
  onTestFinished(async () => await server.close());
  return state;
}

describe("the control socket", () => {
  it("carries requests, events and results", async () => {
    const state = await served(async (request, sendEvent) => {
      sendEvent({ event: "capture-started", source: "docs" });
      return await Promise.resolve({ asked: request });
    });
    const events: unknown[] = [];
    const report = await askRun(state, { policy: "often", source: "docs", onEvent: (event) => events.push(event) });
    expect(report).toEqual({ asked: { version: 1, request: "run", policy: "often", source: "docs" } });
    expect(events).toEqual([{ event: "capture-started", source: "docs" }]);
    expect(await askStatus(state)).toEqual({ asked: { version: 1, request: "status" } });
  });

  it("carries errors with their code and message", async () => {
    const state = await served(() =>
      Promise.reject(new StillpointError("not_found", { what: "There is no policy", next: "There are: a, b." })),
    );
    const error = await rejection(askReload(state));
    expect(error).toMatchObject({ code: "not_found", message: "There is no policy. There are: a, b." });
  });

  it("is for this user only, and gone after the end", async () => {
    const state = await tempDir();
    const server = await serveControl(controlSocketOf(state), () => Promise.resolve(1), systemClock);
    expect((await fs.stat(controlSocketOf(state))).mode & 0o777).toBe(0o600);
    await server.close();
    expect(await fs.readdir(state)).toEqual([]);
  });

  it("lets nobody else have it", async () => {
    const state = await served(() => Promise.resolve(1));
    const second = serveControl(controlSocketOf(state), () => Promise.resolve(2), systemClock);
    expect(await rejection(second)).toMatchObject({ code: "busy" });
    expect(await askStatus(state)).toBe(1);
  });

  it("replaces the socket of a daemon that was killed", async () => {
    const state = await tempDir();
    // A socket stays when its name is another one at the end: just as it does after kill -9.
    const dead = createServer();
    dead.listen(`${state}/dying`);
    await once(dead, "listening");
    await fs.rename(`${state}/dying`, controlSocketOf(state));
    dead.close();
    await once(dead, "close");
    expect(await askStatus(state)).toBeUndefined();
    const server = await serveControl(controlSocketOf(state), () => Promise.resolve("new"), systemClock);
    expect(await askStatus(state)).toBe("new");
    expect(await fs.readdir(state)).toEqual(["control.sock"]);
    await server.close();
  });

  it("answers rubbish with an error, and hangs up on who says nothing", async () => {
    const clock = new ManualClock();
    const state = await served(() => Promise.resolve(1), clock);
    for (const line of ["rubbish\n", '{"version":1,"request":"format-disk"}\n', "x".repeat(70_000)]) {
      expect(await answerTo(state, line)).toContain('"code":"usage"');
    }
    const silent = answerTo(state, "");
    while (clock.sleeping === 0) await new Promise((resolve) => void setImmediate(resolve));
    await clock.advance(10_000);
    expect(await silent).toContain('"code":"usage"');
  });

  it("says so when the daemon ends before it has answered", async () => {
    const state = await tempDir();
    const { promise, resolve } = Promise.withResolvers<number>();
    const server = await serveControl(controlSocketOf(state), () => promise, systemClock);
    const asking = rejection(askStatus(state));
    while (!(await hasConnection(state))) await new Promise((again) => void setImmediate(again));
    await server.close();
    expect(await asking).toMatchObject({ code: "storage_failed" });
    resolve(1);
  });

  it("is left by who has had enough, and says that the daemon goes on", async () => {
    const { promise: run, resolve: end } = Promise.withResolvers<string>();
    const enough = new AbortController();
    const state = await served(async (_request, sendEvent) => {
      sendEvent({ event: "capture-started", source: "docs" });
      return await run;
    });
    const asked = askRun(state, { policy: "often", signal: enough.signal, onEvent: () => enough.abort() });
    const error = await rejection(asked);
    expect(error).toMatchObject({ code: "cancelled", parts: { safe: "The daemon goes on with it." } });
    end("done");
  });

  it("refuses a state folder whose path is too long for a socket", async () => {
    const path = `${await tempDir()}/${"d".repeat(100)}/control.sock`;
    expect(await rejection(serveControl(path, () => Promise.resolve(1), systemClock))).toMatchObject({ code: "usage" });
  });
});

it("is no error when no daemon runs", async () => {
  expect(await askStatus(await tempDir())).toBeUndefined();
});

async function answerTo(state: string, request: string): Promise<string> {
  const socket = connect(controlSocketOf(state));
  socket.setEncoding("utf8");
  socket.write(request);
  let answer = "";
  socket.on("data", (piece: string) => (answer += piece));
  await once(socket, "close");
  return answer;
}

/** The client has connected as soon as another one can: the server takes them in turn. */
async function hasConnection(state: string): Promise<boolean> {
  const socket = connect(controlSocketOf(state));
  await once(socket, "connect");
  socket.destroy();
  return true;
}
