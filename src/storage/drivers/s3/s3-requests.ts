import type { S3ClientConfig } from "@aws-sdk/client-s3";
import { StillpointError, toError } from "../../../errors.ts";
import { flawInAuthorities } from "../../../host/authorities.ts";
import type { Clock } from "../../../host/clock.ts";
import type { Files } from "../../../host/files.ts";
import type { S3Address } from "../../storage.ts";
import { Turns } from "../../turns.ts";
import { receivingInPlace } from "./receiving-in-place.ts";
import type { S3, SendOptions } from "./s3-client.ts";
import { type AccessKey, readAccessKey } from "./s3-credentials.ts";

export interface S3RequestsOptions {
  readonly address: S3Address;
  readonly files: Files;
  readonly clock: Clock;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** In ms: how long connecting may take, and how long nothing may move on a connection. */
  readonly patience: { readonly connect: number; readonly idle: number };
  /** Called whenever something has come from the store that was asked for. */
  readonly moved?: (() => void) | undefined;
}

/** Requests under way at once, and so connections. */
const requestsAtOnce = 32;
/** In ms: an access key in a file is read again after so long, so that a new one needs no restart. */
const keyIsFresh = 5 * 60_000;

/** The way to the store: AWS's client, loaded and made when it is first needed, and a bounded number of requests. */
export class S3Requests {
  readonly moved: S3RequestsOptions["moved"];
  readonly #options: S3RequestsOptions;
  readonly #turns = new Turns(requestsAtOnce);
  #client: Promise<S3> | undefined;
  #storeTime: number | undefined;

  constructor(options: S3RequestsOptions) {
    this.moved = options.moved;
    this.#options = options;
  }

  /** What the store's clock showed with its newest answer, in ms since the epoch. */
  get storeTime(): number | undefined {
    return this.#storeTime;
  }

  /** Makes one request when it is its turn. `use` also reads the answer's body, which holds the connection. */
  async send<T>(signal: AbortSignal | undefined, use: (s3: S3, options: SendOptions) => Promise<T>): Promise<T> {
    await this.#turns.begin(signal);
    try {
      const result = await use(await this.#ready(), signal === undefined ? {} : { abortSignal: signal });
      this.moved?.();
      return result;
    } finally {
      this.#turns.end();
    }
  }

  async #ready(): Promise<S3> {
    this.#client ??= this.#make();
    try {
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  async #make(): Promise<S3> {
    const { address, patience } = this.#options;
    const [{ S3: Client }, { Agent: HttpAgent }, { Agent: HttpsAgent }] = await Promise.all([
      import("./s3-client.ts"),
      // Only now too: it loads Node's WebSocket and fetch, which takes longer than all of ours.
      import("node:http"),
      import("node:https"),
    ]);
    const ca = await this.#authorities();
    const agent = { keepAlive: true, maxSockets: requestsAtOnce };
    // Checksums that AWS's client adds by itself confuse other stores; there, the signature covers what is sent, and every
    // object is authenticated when it is opened.
    const checksums = address.endpoint === undefined ? "WHEN_SUPPORTED" : "WHEN_REQUIRED";
    const config: S3ClientConfig = {
      region: address.region,
      forcePathStyle: address.pathStyle,
      requestChecksumCalculation: checksums,
      responseChecksumValidation: checksums,
      // Trying again is the retry wrapper's task, with the waits that tests can see.
      maxAttempts: 1,
      // It would wait for leave before it sends a larger object, and some stores never give it.
      expectContinueHeader: false,
      followRegionRedirects: false,
      requestHandler: {
        connectionTimeout: patience.connect,
        socketTimeout: patience.idle,
        httpAgent: receivingInPlace(new HttpAgent(agent)),
        httpsAgent: receivingInPlace(new HttpsAgent({ ...agent, ...(ca !== undefined && { ca }) })),
      },
    };
    if (address.endpoint !== undefined) config.endpoint = address.endpoint;
    const { credentials } = address;
    if (credentials.kind !== "chain") config.credentials = async () => await this.#accessKey(credentials);
    const client = new Client(config);
    client.middlewareStack.add(
      (next) => async (request) => {
        const answer = await next(request);
        this.#storeTime = dateOf(answer.response) ?? this.#storeTime;
        return answer;
      },
      { step: "deserialize", priority: "low", name: "storeTime" },
    );
    return client;
  }

  async #accessKey(origin: Parameters<typeof readAccessKey>[0]): Promise<AccessKey & { expiration: Date }> {
    const key = await readAccessKey(origin, this.#options);
    return { ...key, expiration: new Date(this.#options.clock.now() + keyIsFresh) };
  }

  async #authorities(): Promise<string | undefined> {
    const { address, files } = this.#options;
    if (address.caFile === undefined) return undefined;
    let why: string | undefined;
    try {
      const text = (await files.read(address.caFile)).toString();
      why = flawInAuthorities(text);
      if (why === undefined) return text;
    } catch (error) {
      why = toError(error).message;
    }
    throw new StillpointError("storage_unreachable", {
      what: `Cannot read the authorities for ${address.location} in ${address.caFile}: ${why}`,
      safe: "Nothing was changed.",
      next: "Correct `ca_file`, or run Stillpoint with the rights to read it.",
      retryable: false,
    });
  }
}

/** The date that an HTTP answer bears (RFC 9110 section 6.6.1). */
function dateOf(response: unknown): number | undefined {
  if (typeof response !== "object" || response === null || !("headers" in response)) return undefined;
  const { headers } = response;
  const date: unknown = typeof headers === "object" && headers !== null && "date" in headers ? headers.date : undefined;
  const time = typeof date === "string" ? Date.parse(date) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}
