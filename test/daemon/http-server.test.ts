import { request } from "node:http";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { describe, expect, it, onTestFinished } from "vitest";
import { HttpFront } from "../../src/daemon/http-front.ts";
import { type Routes, text } from "../../src/daemon/http-server.ts";
import { silentLogger } from "../../src/host/log.ts";
import { rejection } from "../helpers/rejection.ts";

const routes: Routes = {
  "/": () => text(200, "front"),
  "/accept": ({ accept }) => text(200, accept ?? "none"),
  "/broken": () => Promise.reject(new Error("secret detail")),
};

async function front(host = "127.0.0.1"): Promise<HttpFront> {
  const http = new HttpFront(routes, silentLogger);
  onTestFinished(async () => await http.close());
  await http.listen({ host, port: 0 });
  return http;
}

interface Got {
  readonly status: number | undefined;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
}

async function get(
  url: string,
  path: string,
  { method = "GET", headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<Got> {
  const asking = request(`${url}${path}`, { method, headers, agent: false });
  asking.end();
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  let body = "";
  for await (const piece of response.setEncoding("utf8")) body += String(piece);
  return { status: response.statusCode, body, headers: response.headers };
}

describe("the HTTP server", () => {
  it("answers GET and HEAD, and nothing else", async () => {
    const { url = "" } = await front();
    expect(await get(url, "/?x=1")).toMatchObject({ status: 200, body: "front\n" });
    expect(await get(url, "/", { method: "HEAD" })).toMatchObject({ status: 200, body: "" });
    const posted = await get(url, "/", { method: "POST" });
    expect([posted.status, posted.headers.allow]).toEqual([405, "GET, HEAD"]);
    expect(await get(url, "/constructor")).toMatchObject({ status: 404 });
    expect((await get(url, "/accept", { headers: { accept: "text/plain" } })).body).toBe("text/plain\n");
  });

  it("answers on loopback to local names only, whoever has pointed another name here", async () => {
    const { url = "" } = await front();
    const { port } = new URL(url);
    const asked = async (host: string): Promise<number | undefined> =>
      (await get(url, "/", { headers: { host } })).status;
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, "[::1]", "a.localhost"])
      expect(await asked(host)).toBe(200);
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"]) {
      expect([host, await asked(host)]).toEqual([host, 421]);
    }
  });

  it("hangs up on a defect without telling about it, and goes on", async () => {
    const { url = "" } = await front();
    await rejection(get(url, "/broken"));
    expect(await get(url, "/")).toMatchObject({ status: 200 });
  });

  it("moves to another address, and stays where it was when that one is taken", async () => {
    const http = await front();
    const other = await front();
    const before = http.url ?? "";
    const taken = { host: "127.0.0.1", port: Number(new URL(other.url ?? "").port) };
    expect(await rejection(http.listen(taken))).toMatchObject({ code: "busy" });
    expect(await get(before, "/")).toMatchObject({ status: 200 });
    await http.listen({ host: "127.0.0.1", port: 0 });
    expect(http.url).not.toBe(before);
    expect(await get(http.url ?? "", "/")).toMatchObject({ status: 200 });
    await rejection(get(before, "/"));
  });

  it("refuses an address that isn't this machine's", async () => {
    const http = new HttpFront(routes, silentLogger);
    expect(await rejection(http.listen({ host: "192.0.2.1", port: 0 }))).toMatchObject({ code: "config_invalid" });
  });
});
