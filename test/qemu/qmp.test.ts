import * as fs from "node:fs/promises";
import * as path from "node:path";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { Qmp, QmpError, type QmpEvent } from "../../src/qemu/qmp.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { greeting, returns, scriptedQmp, type Peer, type ScriptedQmp } from "../helpers/scripted-qmp.ts";
import { tempDir } from "../helpers/temp-dir.ts";

async function connect(server: ScriptedQmp): Promise<{ qmp: Qmp; clock: ManualClock }> {
  const clock = new ManualClock();
  const qmp = await Qmp.connect(server.path, { clock });
  onTestFinished(() => qmp.close());
  return { qmp, clock };
}

async function expectUnreachable(work: Promise<unknown>, reason: string): Promise<void> {
  const error = await rejection(work);
  expect(error).toMatchObject({ code: "vm_unreachable", message: expect.stringContaining(reason) });
}

const event = (name: string, data: unknown = {}): string =>
  `${JSON.stringify({ event: name, data, timestamp: { seconds: 1763811234, microseconds: 250_000 } })}\r\n`;

describe("a server that keeps to the protocol", () => {
  test("says its version, and answers commands", async () => {
    const server = await scriptedQmp();
    server.answer = returns({ status: "running" });
    const { qmp } = await connect(server);
    expect(qmp.version).toEqual({ major: 7, minor: 2, micro: 22, package: "Debian" });
    expect(await qmp.execute("query-status")).toEqual({ status: "running" });
    expect(await qmp.execute("device_add", { driver: "x" })).toEqual({ status: "running" });
    expect(server.commands.map(({ execute, arguments: given }) => [execute, given])).toEqual([
      ["query-status", undefined],
      ["device_add", { driver: "x" }],
    ]);
  });

  test("gives each answer to whom it belongs, in whatever order they come", async () => {
    const server = await scriptedQmp();
    const held: (() => void)[] = [];
    server.answer = (command, peer) => {
      held.push(() => returns(command.execute)(command, peer));
      if (held.length === 3) for (const send of held.toReversed()) send();
    };
    const { qmp } = await connect(server);
    expect(await Promise.all(["a", "b", "c"].map((name) => qmp.execute(name)))).toEqual(["a", "b", "c"]);
  });

  test("says no: the command, the class and the reason are in the error, the arguments aren't", async () => {
    const server = await scriptedQmp();
    server.answer = ({ id }, peer) =>
      peer.write(`${JSON.stringify({ id, error: { class: "DeviceNotFound", desc: "Device 'x' not found" } })}\n`);
    const { qmp } = await connect(server);
    const error = await rejection(qmp.execute("eject", { id: "tajemství" }));
    expect(error).toBeInstanceOf(QmpError);
    expect(error).toMatchObject({ command: "eject", class: "DeviceNotFound", desc: "Device 'x' not found" });
    expect(error.message).toBe("QEMU refused eject: Device 'x' not found");
  });

  test("runs lines of the human monitor", async () => {
    const server = await scriptedQmp();
    server.answer = returns("a\r\n");
    const { qmp } = await connect(server);
    expect(await qmp.hmp("info mtree")).toBe("a\r\n");
    expect(server.commands).toMatchObject([
      { execute: "human-monitor-command", arguments: { "command-line": "info mtree" } },
    ]);
  });

  test("sends events: every listener hears them in order until it stops, with QEMU's stamp", async () => {
    const server = await scriptedQmp((peer) => peer.write(greeting + event("POWERDOWN")));
    server.answer = (command, peer) => {
      peer.write(event("STOP") + event("RESUME", { a: 1 }));
      returns({})(command, peer);
    };
    const { qmp } = await connect(server);
    const heard: QmpEvent[] = [];
    const stop = qmp.onEvent((one) => heard.push(one));
    await qmp.execute("x");
    stop();
    await qmp.execute("x");
    expect(heard).toEqual([
      { event: "STOP", data: {}, time: 1763811234250 },
      { event: "RESUME", data: { a: 1 }, time: 1763811234250 },
    ]);
  });

  test("sends the event that somebody waits for", async () => {
    const server = await scriptedQmp();
    server.answer = (_, peer) => peer.write(event("STOP") + event("JOB", { id: 1 }) + event("JOB", { id: 2 }));
    const { qmp } = await connect(server);
    const second = qmp.waitForEvent(({ data }) => JSON.stringify(data) === '{"id":2}', { timeout: 1000 });
    void qmp.execute("x").catch(() => undefined);
    expect(await second).toMatchObject({ event: "JOB", data: { id: 2 } });
  });
});

describe("waiting", () => {
  test("for an answer ends when time is up; the connection stays, and the late answer goes to nobody", async () => {
    const server = await scriptedQmp();
    const { qmp, clock } = await connect(server);
    const slow = rejection(qmp.execute("slow", {}, { timeout: 500 }));
    await until(() => server.commands.length === 1);
    await clock.advance(500);
    expect(await slow).toMatchObject({
      code: "vm_unreachable",
      message: expect.stringContaining("0.5 s for an answer to slow"),
    });
    server.answer = (command, peer) => {
      peer.write(`{"return":"late","id":${String(server.commands[0]?.id)}}\n`);
      returns("mine")(command, peer);
    };
    expect(await qmp.execute("next")).toBe("mine");
  });

  test("for a greeting ends when time is up, and says that another program may be connected", async () => {
    const server = await scriptedQmp(() => undefined);
    const clock = new ManualClock();
    const work = Qmp.connect(server.path, { clock, timeout: 3000 });
    const error = rejection(work);
    await clock.advance(3000);
    expect((await error).message).toMatch(/waited 3 s for its greeting.*One program at a time/);
  });

  test("ends when the signal aborts, or has aborted", async () => {
    const server = await scriptedQmp();
    const { qmp } = await connect(server);
    const controller = new AbortController();
    const { signal } = controller;
    const works = [
      qmp.execute("x", {}, { signal }),
      qmp.waitForEvent(() => true, { timeout: 1000, signal }),
      Qmp.connect((await scriptedQmp(() => undefined)).path, { signal }),
    ].map((work) => rejection(work));
    controller.abort();
    works.push(rejection(qmp.execute("y", {}, { signal })), rejection(Qmp.connect(server.path, { signal })));
    for (const work of works) expect(await work).toMatchObject({ code: "cancelled" });
    expect(server.commands.some(({ execute }) => execute === "y")).toBe(false);
  });

  test("for an event ends when time is up", async () => {
    const { qmp, clock } = await connect(await scriptedQmp());
    const work = rejection(qmp.waitForEvent(() => true, { timeout: 700 }));
    await clock.advance(700);
    expect((await work).message).toContain("0.7 s for an event");
  });

  test("leaves no timer behind", async () => {
    const server = await scriptedQmp();
    server.answer = returns({});
    const { qmp, clock } = await connect(server);
    await qmp.execute("x");
    expect(clock.sleeping).toBe(0);
  });
});

describe("a connection that ends", () => {
  test("tells everybody who waits, and everybody who comes later", async () => {
    const server = await scriptedQmp();
    server.answer = ({ execute }, peer) => execute === "last" && peer.close();
    const { qmp, clock } = await connect(server);
    const works = [qmp.execute("first"), qmp.waitForEvent(() => true, { timeout: 1000 }), qmp.execute("last")].map(
      (work) => expectUnreachable(work, "QEMU closed the connection"),
    );
    await Promise.all(works);
    await expectUnreachable(qmp.execute("later"), "QEMU closed the connection");
    expect(clock.sleeping).toBe(0);
    await qmp.close();
  });

  test("from this side: whoever waits is told; closing twice is nothing", async () => {
    const { qmp } = await connect(await scriptedQmp());
    const work = expectUnreachable(qmp.execute("x"), "closed on this side");
    await qmp.close();
    await qmp.close();
    await work;
  });

  const answer = `${greeting}{"return":{},"id":1}\r\n{"event":"STOP","data":{},"timestamp":{"seconds":1,"microseconds":2}}\r\n`;

  test("at any byte of what it says: an error, never a hang", async () => {
    for (let cut = 0; cut < answer.length; cut += 1) {
      const server = await scriptedQmp((peer) => {
        peer.write(answer.slice(0, cut));
        peer.close();
      });
      const work = Qmp.connect(server.path).then(async (qmp) => await qmp.execute("x"));
      expect(await rejection(work)).toMatchObject({ code: "vm_unreachable" });
    }
  });
});

describe("what isn't QMP", () => {
  const hello: [string, (peer: Peer) => void, string][] = [
    ["another protocol", (peer) => peer.write("HTTP/1.1 400 Bad Request\r\n"), "isn't QMP: a line isn't JSON"],
    ["JSON that greets differently", (peer) => peer.write('{"QGA":1}\n'), "doesn't speak QMP"],
    ["a version in words", (peer) => peer.write('{"QMP":{"version":{"qemu":"seven"}}}\n'), "doesn't speak QMP"],
    ["a list", (peer) => peer.write("[]\n"), "isn't a JSON object"],
    ["a line without an end", (peer) => peer.write(Buffer.alloc(17 * 1024 * 1024, "x")), "longer than 16777216 bytes"],
    ["nothing at all", (peer) => peer.close(), "QEMU closed the connection"],
  ];

  test.each(hello)("%s is refused", async (_, greet, reason) => {
    await expectUnreachable(Qmp.connect((await scriptedQmp(greet)).path), reason);
  });

  test("later on ends the connection", async () => {
    const server = await scriptedQmp();
    server.answer = (_, peer) => peer.write(`${event("STOP")}oops\n${event("RESUME")}`);
    const { qmp } = await connect(server);
    const heard: string[] = [];
    qmp.onEvent((one) => heard.push(one.event));
    await expectUnreachable(qmp.execute("x"), "a line isn't JSON");
    expect(heard).toEqual(["STOP"]);
  });

  test("answers to nobody and objects of no known kind are passed over", async () => {
    const server = await scriptedQmp();
    server.answer = (command, peer) => {
      for (const one of [
        {},
        { id: 99, return: 1 },
        { return: 2 },
        { error: {} },
        { id: "1", return: 3 },
        { event: 5 },
      ]) {
        peer.write(`${JSON.stringify(one)}\n\n`);
      }
      returns("mine")(command, peer);
    };
    const { qmp } = await connect(server);
    expect(await qmp.execute("x")).toBe("mine");
  });

  test.each([{}, { error: 5 }, { error: { class: 1, desc: null } }])("%j as an answer is a no", async (body) => {
    const server = await scriptedQmp();
    server.answer = ({ id }, peer) => peer.write(`${JSON.stringify({ ...body, id })}\n`);
    const { qmp } = await connect(server);
    expect(await rejection(qmp.execute("x"))).toBeInstanceOf(QmpError);
  });

  test("any JSON at all never brings the client down", async () => {
    const server = await scriptedQmp();
    const { qmp } = await connect(server);
    qmp.onEvent(() => undefined);
    const some = fc.dictionary(fc.constantFrom("event", "id", "return", "error", "timestamp", "QMP"), fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(fc.array(some), async (messages) => {
        server.answer = (command, peer) => {
          for (const one of messages) peer.write(`${JSON.stringify({ ...one, ...("id" in one && { id: -1 }) })}\n`);
          returns(1)(command, peer);
        };
        expect(await qmp.execute("x")).toBe(1);
      }),
      { numRuns: 50 },
    );
  });
});

describe("a path", () => {
  test.each(["", "\0abstract"])("%j is refused", async (name) => {
    await expectUnreachable(Qmp.connect(name), "no path of a socket");
  });

  test("where nothing listens, or nothing is, or that is too long, is said", async () => {
    const folder = await tempDir();
    await expectUnreachable(Qmp.connect(path.join(folder, "none")), "ENOENT");
    await fs.writeFile(path.join(folder, "file"), "");
    await expectUnreachable(Qmp.connect(path.join(folder, "file")), "ECONNREFUSED");
    await expectUnreachable(Qmp.connect(path.join(folder, "x".repeat(200))), "the connection failed");
  });

  test("that looks like a host and port is a path all the same", async () => {
    await expectUnreachable(Qmp.connect("localhost:4444"), "ENOENT");
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setImmediate();
}
