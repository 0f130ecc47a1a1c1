/** Asking the daemon, if one runs. */
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { isStillpointError, StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import type { JobEvent, JobReport } from "../job/report.ts";
import type { Tested } from "../notify/test-channels.ts";
import {
  type ConfigText,
  type ControlAnswer,
  type ControlRequest,
  controlSocketOf,
  type DaemonStatus,
  errorFrom,
  type History,
} from "./control-protocol.ts";

export interface AskOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface AskRunOptions extends AskOptions {
  readonly policy: string;
  readonly source?: string | undefined;
  readonly onEvent?: ((event: JobEvent) => void) | undefined;
}

/** Undefined when no daemon runs. Throws as `askRun` does. */
export async function askStatus(state: string, options: AskOptions = {}): Promise<DaemonStatus | undefined> {
  return (await ask(state, { version: 1, request: "status" }, options)) as DaemonStatus | undefined;
}

/** Undefined when no daemon runs. Throws as `askRun` does. */
export async function askHistory(state: string, options: AskOptions = {}): Promise<History | undefined> {
  return (await ask(state, { version: 1, request: "history" }, options)) as History | undefined;
}

/**
 * Has the daemon run a policy. Undefined when no daemon runs. When the signal aborts, the job goes on without us.
 *
 * Throws the daemon's error, `storage_denied` when it is another user's, `cancelled`, or `storage_failed` when the
 * daemon ends before it has answered.
 */
export async function askRun(state: string, options: AskRunOptions): Promise<JobReport | undefined> {
  const { policy, source, onEvent, signal } = options;
  const request = { version: 1, request: "run", policy, ...(source === undefined ? {} : { source }) } as const;
  const heard = (event: unknown): void => onEvent?.(event as JobEvent);
  try {
    return (await ask(state, request, { signal, onEvent: heard })) as JobReport | undefined;
  } catch (error) {
    if (!isStillpointError(error, "cancelled") || signal?.aborted !== true) throw error;
    throw new StillpointError("cancelled", {
      what: `Stopped waiting for the run of ${policy}`,
      safe: "The daemon goes on with it.",
      next: "`stillpoint status` shows how far it is.",
    });
  }
}

/** Whether another configuration is in force now. Undefined when no daemon runs. Throws as `askRun` does. */
export async function askReload(state: string, options: AskOptions = {}): Promise<{ changed: boolean } | undefined> {
  return (await ask(state, { version: 1, request: "reload" }, options)) as { changed: boolean } | undefined;
}

/** The configuration in force. Undefined when no daemon runs. Throws as `askRun` does. */
export async function askConfig(state: string, options: AskOptions = {}): Promise<ConfigText | undefined> {
  return (await ask(state, { version: 1, request: "config" }, options)) as ConfigText | undefined;
}

/** What became of each channel. Undefined when no daemon runs. Throws as `askRun` does. */
export async function askNotifyTest(
  state: string,
  { channel, signal }: AskOptions & { readonly channel: string | undefined },
): Promise<readonly Tested[] | undefined> {
  const request = { version: 1, request: "notify-test", ...(channel === undefined ? {} : { channel }) } as const;
  return (await ask(state, request, { signal })) as readonly Tested[] | undefined;
}

/** Has the daemon write down, and into its log, that new keep rules may be applied. False when no daemon runs. Throws as `askRun` does. */
export async function askAccept(
  state: string,
  { signal, ...acceptance }: AskOptions & Omit<Extract<ControlRequest, { request: "accept" }>, "version" | "request">,
): Promise<boolean> {
  return (await ask(state, { version: 1, request: "accept", ...acceptance }, { signal })) !== undefined;
}

interface Listening extends AskOptions {
  readonly onEvent?: (event: unknown) => void;
}

async function ask(state: string, request: ControlRequest, { signal, onEvent }: Listening): Promise<unknown> {
  const socket = await open(controlSocketOf(state));
  if (socket === undefined) return undefined;
  try {
    throwIfCancelled(signal);
    socket.write(`${JSON.stringify(request)}\n`);
    for await (const line of linesOf(socket, signal)) {
      const answer = JSON.parse(line) as ControlAnswer;
      if ("error" in answer) throw errorFrom(answer.error);
      if ("result" in answer) return answer.result;
      onEvent?.(answer.event);
    }
    throwIfCancelled(signal);
    throw daemonEnded(state);
  } finally {
    socket.destroy();
  }
}

/** Until the connection ends, one way or another, or the signal aborts. */
async function* linesOf(socket: Socket, signal: AbortSignal | undefined): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: socket, ...(signal && { signal }) });
  } catch {
    // Cut off: as with any other end, what matters is whether the last line has come.
  }
}

/** Undefined when nobody listens there. */
async function open(path: string): Promise<Socket | undefined> {
  const socket = connect(path);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
  } catch (error) {
    socket.destroy();
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTSOCK") return undefined;
    if (code === "EACCES") {
      throw new StillpointError("storage_denied", {
        what: `Cannot ask the daemon at ${path}, nor see whether one runs: permission denied`,
        safe: "Nothing was changed.",
        next: "Use sudo, or the user that the daemon runs as.",
        cause: error,
      });
    }
    throw new StillpointError("storage_failed", {
      what: `Cannot talk to the daemon at ${path}: ${String(error)}`,
      safe: "The daemon goes on as before.",
      next: "See whether the daemon is well.",
      cause: error,
    });
  }
  // Whatever becomes of the connection later is noticed by the reading of its lines.
  socket.on("error", () => undefined);
  return socket;
}

function daemonEnded(state: string): StillpointError {
  return new StillpointError("storage_failed", {
    what: `The daemon at ${controlSocketOf(state)} ended before it had answered`,
    safe: "Recovery points that were committed are kept.",
    next: "Look into its log, and start it again.",
  });
}
