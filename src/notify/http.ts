/**
 * One request, whose answer matters by its status only. By node:http, since fetch can't be told which authorities to trust,
 * and follows redirects, to which neither the URL nor the headers are to be sent.
 */
import { request as requestHttp, STATUS_CODES } from "node:http";
import { request as requestHttps } from "node:https";
import { StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import type { Clock } from "../host/clock.ts";
import { deadline } from "../host/deadline.ts";

export interface HttpRequest {
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent by POST; without one it is a GET. */
  readonly body?: string;
  /** Certificates, PEM. */
  readonly authorities?: string | undefined;
  /** In ms, for all of it. */
  readonly timeout: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Throws `notification_failed` with the host's name and no more of the URL, or `cancelled`. */
export async function send({ clock, timeout, signal, ...request }: HttpRequest): Promise<void> {
  throwIfCancelled(signal);
  using late = deadline(clock, timeout);
  try {
    const status = await exchange(request, AbortSignal.any([signal, late.signal]));
    if (status >= 200 && status < 300) return;
    throw failed(request.url, `it answered ${String(status)} ${STATUS_CODES[status] ?? ""}`.trimEnd());
  } catch (error) {
    throwIfCancelled(signal);
    if (error instanceof StillpointError) throw error;
    if (late.signal.aborted) throw failed(request.url, `no answer within ${String(timeout / 1000)} s`);
    // Only the code: messages may quote what was sent.
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw failed(request.url, `the connection failed (${code})`);
  }
}

type Exchange = Pick<HttpRequest, "url" | "headers" | "body" | "authorities">;

/** The status of the answer. */
async function exchange({ url, headers, body, authorities }: Exchange, signal: AbortSignal): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const start = url.protocol === "https:" ? requestHttps : requestHttp;
  const request = start(
    url,
    {
      method: body === undefined ? "GET" : "POST",
      headers: {
        "user-agent": "stillpoint",
        ...(body !== undefined && { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
        ...headers,
      },
      agent: false,
      signal,
      ...(authorities !== undefined && { ca: authorities }),
    },
    (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    },
  );
  request.on("error", reject);
  request.end(body);
  return await promise;
}

function failed({ host }: URL, how: string): StillpointError {
  return new StillpointError("notification_failed", {
    what: `Cannot notify ${host}: ${how}`,
    safe: "It will be told as soon as that is mended.",
    next: "Try it with `stillpoint notify test`.",
  });
}
