/** `stillpoint status --watch`: the same lines, kept up to date until somebody has seen enough. */
import { isStillpointError } from "../errors.ts";
import type { Cli, KeyInput } from "./cli.ts";
import { formatTime } from "./format.ts";
import { LiveScreen } from "./live-screen.ts";
import type { OutputStream } from "./output.ts";
import { factsOf, nameOf, type StatusView } from "./status-facts.ts";
import { progressOf, statusLines } from "./status-screen.ts";

/** Ms between two looks, on a terminal and elsewhere. */
const terminalInterval = 1000;
const plainInterval = 10_000;

/** q, Q, Ctrl-C and Ctrl-D. */
const endingKeys = [0x71, 0x51, 0x03, 0x04];

export type LookAgain = () => Promise<StatusView>;

export async function watchStatus(cli: Cli, look: LookAgain): Promise<void> {
  const terminal = cli.output.redrawable;
  try {
    if (terminal === undefined) await appendForEver(cli, look);
    else await redrawUntilQuit(cli, terminal, look);
  } catch (error) {
    // Told to end while it was looking: that is how it ends.
    if (!isStillpointError(error, "cancelled") || !cli.signal.aborted) throw error;
  }
}

async function redrawUntilQuit(cli: Cli, terminal: OutputStream, look: LookAgain): Promise<void> {
  const quit = new AbortController();
  const screen = new LiveScreen(terminal);
  let view = await look();
  const draw = (): void => {
    screen.draw(statusLines(view, cli.output), "… there is more: make the window larger. q ends.");
  };
  const stopKeys = listen(cli.input, () => quit.abort());
  const signal = AbortSignal.any([cli.signal, quit.signal]);
  terminal.on("resize", draw);
  screen.open();
  try {
    while (!signal.aborted) {
      draw();
      await cli.clock.sleep(terminalInterval, signal).catch(() => undefined);
      if (!signal.aborted) view = await look();
    }
  } finally {
    terminal.off("resize", draw);
    stopKeys();
    screen.close();
  }
}

/** Ctrl-C is a key like any other while they are read one by one. Returns what gives the keyboard back. */
function listen(input: KeyInput, quit: () => void): () => void {
  if (input.isTTY !== true) return () => undefined;
  const heard = (keys: Uint8Array): void => {
    if (keys.some((key) => endingKeys.includes(key))) quit();
  };
  input.setRawMode?.(true);
  input.on("data", heard);
  return () => {
    input.off("data", heard);
    input.setRawMode?.(false);
    input.pause();
  };
}

/** What is new since the last look, and how far the work is: a line each, with the time. */
async function appendForEver({ output, clock, signal }: Cli, look: LookAgain): Promise<void> {
  let told: readonly string[] = [];
  while (!signal.aborted) {
    const view = await look();
    const facts = factsOf(view);
    const work = (view.daemon?.work ?? []).map((one) => `${nameOf(one)}: ${progressOf(one) || "under way"}`);
    for (const line of [...without(facts, told), ...work]) output.print(`${formatTime(view.now)}  ${line}`);
    told = facts;
    await clock.sleep(plainInterval, signal).catch(() => undefined);
  }
}

function without(lines: readonly string[], others: readonly string[]): string[] {
  return lines.filter((line) => !others.includes(line));
}
