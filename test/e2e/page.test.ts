/** The page in a real browser, at a real daemon. */
import * as fs from "node:fs/promises";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { askRun } from "../../src/daemon/control-client.ts";
import { freePort } from "../helpers/free-port.ts";
import { eventually, RunningDaemon } from "../helpers/running-daemon.ts";
import { makeSite, type Site } from "../helpers/site.ts";

/** In ms, for whatever is waited for: a busy machine takes several times what a quiet one does. */
const patience = 120_000;
let browser: Browser;

beforeAll(async () => {
  // Its sandbox needs rights that neither root in a container nor the page needs.
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"], timeout: patience });
});

afterAll(async () => await browser.close());

const desktop = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 360, height: 740 } };

interface Opened {
  readonly page: Page;
  /** What the browser had to say against the page: errors, and what the page's own policy has refused. */
  readonly complaints: string[];
  /** Whom it has asked for something. */
  readonly asked: Set<string>;
}

async function open(url: string, options: BrowserContextOptions = desktop): Promise<Opened> {
  const context = await browser.newContext(options);
  onTestFinished(async () => await context.close());
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  const asked = new Set<string>();
  page.on("request", (request) => asked.add(new URL(request.url()).origin));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  return { page, complaints, asked };
}

async function isLive(page: Page): Promise<void> {
  await page.locator("#live", { hasText: "live," }).waitFor();
}

/** As far from now as can be: what runs is what a test asks for. */
const farHour = (new Date().getHours() + 12) % 24;

function settings(port: number): string {
  return `
replicas: { far: { path: replicas/far } }
sources:
  docs: { directory: { path: docs } }
  slow: { command: { run: [sh, -c, "while [ ! -e done ]; do head -c 9000000 /dev/zero; sleep 0.2; done"] } }
policies:
  often:
    sources: [docs]
    schedule: { cron: "0 ${String(farHour)} * * *", missed: skip }
    objectives: { rpo: 30h, offsite_rpo: 40h }
    keep: { last: 3 }
    replicate: { far: {} }
  seldom: { sources: [slow], schedule: { manual: true }, keep: { last: 2 } }
daemon: { listen: "127.0.0.1:${String(port)}" }
`;
}

async function running(): Promise<{
  site: Site;
  rest: string;
  daemon: RunningDaemon;
  url: string;
  run: (policy: string) => Promise<unknown>;
}> {
  const site = await makeSite();
  // Chosen here: the page must find the daemon again where it was.
  const rest = settings(await freePort()).replaceAll("[ ! -e done ]", `[ ! -e ${site.at("done")} ]`);
  await save(site, rest);
  const daemon = new RunningDaemon(site.configFile);
  const url = await daemon.started();
  const run = async (policy: string) => await askRun(site.config.repository.state, { policy });
  return { site, rest, daemon, url, run };
}

async function save({ configFile }: Site, rest: string): Promise<void> {
  await fs.writeFile(configFile, `version: 1\nrepository: { path: repository, key_file: key }\n${rest}`);
}

/** What stands in the way of people who see, hear or move otherwise. */
async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>("axe.run()");
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

describe("the page", () => {
  it("is live: captures, what runs, a refused configuration, a lost daemon", async () => {
    const { site, rest, daemon, url, run } = await running();
    const { page, complaints, asked } = await open(url);
    await isLive(page);
    const verdict = page.locator(".headline");
    expect(await verdict.textContent()).toBe("2 of 2 objectives are missed");
    await run("often");
    await verdict.getByText("All 2 objectives are met").waitFor();
    await page.locator("#source-0 .sum").nth(1).getByText("1 point").waitFor();
    expect(await page.title()).toContain("All 2 objectives are met");

    const slow = run("seldom");
    const work = page.locator(".work li");
    await work.getByText("Capture of slow (seldom)").waitFor();
    await work.getByText(/^[\d.]+ MiB · /).waitFor();
    expect(await page.locator("#source-1 .running").textContent()).toBe("running");
    await fs.writeFile(site.at("done"), "");
    await slow;
    await work.waitFor({ state: "detached" });

    await save(site, rest.replace("last: 3", "lost: 3"));
    await page.locator(".problems", { hasText: "stillpoint.yaml:13:" }).waitFor();
    await page.locator(".problems pre", { hasText: "Did you mean" }).waitFor();
    expect(await barriers(page)).toEqual([]);
    await save(site, rest);
    await page.locator(".problems").waitFor({ state: "detached" });
    expect(complaints).toEqual([]);
    expect([...asked]).toEqual([url]);

    await daemon.end("SIGTERM");
    await page.locator("#live", { hasText: "connection lost" }).waitFor();
    await new RunningDaemon(site.configFile).started();
    await isLive(page);
  });

  it("tells what pruning will forget, and why the rest stays", async () => {
    const { url, run } = await running();
    for (const _ of [1, 2, 3]) await run("often");
    const { page } = await open(url);
    await page.locator(".prune tbody tr", { hasText: "1 of 3" }).first().waitFor();
    expect(await page.locator(".prune tbody").textContent()).toContain("no rule keeps it: last 3");
    const data = (await (await fetch(`${url}/status.json`)).json()) as { version: number; history: { time: number } };
    expect(data).toMatchObject({ version: 1, status: { policies: [{ policy: "often" }, {}] } });
  });

  it("can be used by everybody: in light and dark, on a desk and on a phone, and without a script", async () => {
    const { url, run } = await running();
    await run("often");
    for (const size of [desktop, phone]) {
      for (const colorScheme of ["light", "dark"] as const) {
        const { page, complaints } = await open(url, { ...size, colorScheme });
        await isLive(page);
        await page.locator("#source-0 .sum", { hasText: "point" }).first().waitFor({ state: "attached" });
        for (const summary of await page.locator("summary").all()) await summary.click();
        expect(await barriers(page)).toEqual([]);
        expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
        expect(complaints).toEqual([]);
      }
    }
    const { page } = await open(url, { ...desktop, javaScriptEnabled: false });
    expect(await page.locator(".headline").textContent()).toBe("All 2 objectives are met");
    expect(await page.locator("#source-0 .sum").allTextContents()).toEqual(["1 point", "1 point"]);
  });

  it("can be used by keyboard, and what one has unfolded stays so while it changes", async () => {
    const { url, run } = await running();
    await run("often");
    const { page } = await open(url);
    await isLive(page);
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the content");
    const focused = async (): Promise<unknown> => await page.evaluate("document.activeElement.textContent.trim()");
    const tabTo = async (text: string): Promise<void> => {
      for (let step = 0; step < 30 && (await focused()) !== text; step += 1) await page.keyboard.press("Tab");
      expect(await focused()).toBe(text);
    };
    await tabTo("30d");
    await page.keyboard.press("Enter");
    await page.waitForURL(/range=30d/);
    await isLive(page);
    await tabTo("Details of docs (often)");
    await page.keyboard.press("Enter");
    const before = await page.locator("#more-0 code").first().textContent();
    await run("often");
    await eventually(async () =>
      (await page.locator("#more-0 code").first().textContent()) === before ? undefined : true,
    );
    expect(await page.locator("#more-0[open]").count()).toBe(1);
    expect(await focused()).toBe("Details of docs (often)");
  });
});
