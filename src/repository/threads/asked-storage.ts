/**
 * A far storage, as threads use it: the main thread makes the calls. So there is one pool of connections, one library for the
 * store's language, and one place that keeps to a limit; what is moved isn't copied.
 */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { ByteRange, CallOptions, GetOptions, Storage } from "../../storage/storage.ts";
import { bufferOver } from "./buffer-over.ts";
import { fromPlainError, type PlainError, type StorageRequest, toPlainError } from "./worker-protocol.ts";

/** What threads do with a storage. */
export type PackStorage = Pick<Storage, "get" | "put">;

/** In a thread. */
export class AskedStorage implements PackStorage {
  readonly #ask: (call: number, request: StorageRequest) => void;
  readonly #waiting = new Map<number, PromiseWithResolvers<Uint8Array | undefined>>();
  #calls = 0;

  /** `ask` hands a call over; `answered` gets what becomes of it. */
  constructor(ask: (call: number, request: StorageRequest) => void) {
    this.#ask = ask;
  }

  async get(name: string, range?: ByteRange, options: GetOptions = {}): Promise<Buffer> {
    const { into } = options;
    const data = await this.#call({ operation: "get", name, range, into }, options);
    return into ?? bufferOver(data ?? new Uint8Array());
  }

  async put(name: string, data: readonly Uint8Array[], options?: CallOptions): Promise<void> {
    await this.#call({ operation: "put", name, data }, options);
  }

  answered(call: number, answer: Uint8Array | PlainError | undefined): void {
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    if (answer === undefined || answer instanceof Uint8Array) waiting?.resolve(answer);
    else waiting?.reject(fromPlainError(answer));
  }

  async #call(request: StorageRequest, { signal }: CallOptions = {}): Promise<Uint8Array | undefined> {
    throwIfCancelled(signal);
    const call = this.#calls++;
    const waiting = Promise.withResolvers<Uint8Array | undefined>();
    this.#waiting.set(call, waiting);
    this.#ask(call, request);
    return await waiting.promise;
  }
}

/** In the main thread: does what a thread asks. Bytes that the thread had no memory for are in some of their own, which can be handed over. */
export async function answerRequest(
  storage: PackStorage,
  request: StorageRequest,
  options: CallOptions,
): Promise<Uint8Array<ArrayBuffer> | PlainError | undefined> {
  try {
    if (request.operation === "put") {
      await storage.put(request.name, request.data.map(bufferOver), options);
      return undefined;
    }
    const into = request.into && Buffer.from(request.into.buffer, request.into.byteOffset, request.into.length);
    const data = await storage.get(request.name, request.range, { ...options, into });
    if (into !== undefined) return undefined;
    const { buffer } = data;
    return buffer instanceof ArrayBuffer && buffer.byteLength === data.length
      ? new Uint8Array(buffer)
      : Uint8Array.from(data);
  } catch (error) {
    return toPlainError(error);
  }
}
