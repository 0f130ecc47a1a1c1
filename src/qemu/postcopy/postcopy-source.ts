/**
 * The source of a postcopy migration, for a machine that is nowhere but in storage: QEMU runs it at once, pages it waits for
 * are sent first, and all the others meanwhile, until it needs nobody any more.
 */
import { once } from "node:events";
import * as net from "node:net";
import { describeError, isStillpointError } from "../../errors.ts";
import { cancelled, throwIfCancelled } from "../../host/cancel.ts";
import { type Clock, systemClock } from "../../host/clock.ts";
import type { RamBlock } from "../stream/saved-state.ts";
import { failed, ReturnPath } from "./return-path.ts";
import { SentPages } from "./sent-pages.ts";
import {
  closing,
  discard,
  loaded,
  opening,
  packaged,
  type PageRecord,
  pageSection,
  readSourceHead,
  type SourceHead,
} from "./source-messages.ts";

/** `length` bytes from `offset` on; undefined when all are zeros. */
export type ReadMemory = (offset: number, length: number) => Promise<Uint8Array | undefined>;

export interface PostcopyOptions {
  /** Path of the socket on which QEMU waits, with the capability `postcopy-ram`. */
  readonly socket: string;
  /** As `parseStream` found them. */
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /** How a block is read. */
  readonly content: (block: RamBlock, number: number) => ReadMemory;
  /**
   * Told of what couldn't be read. Once the devices are loaded it is tried again for as long as it takes, and the guest waits; before,
   * what they need is given up after some minutes, and at once when it is damaged.
   */
  readonly onFailure: (message: string) => void;
  /** Called whenever QEMU has taken or said something. */
  readonly moved?: (() => void) | undefined;
  readonly clock?: Clock | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Block extends RamBlock {
  readonly read: ReadMemory;
  readonly sent: SentPages;
}

/** In ms, between attempts to read. */
const firstWait = 500;
const longestWait = 60_000;
/** How often what the devices need is tried before they are loaded: for some three minutes. */
const mostTries = 10;

/** Bytes that are read and sent at once where nobody waits for them. */
const bytesAtOnce = 1024 * 1024;

/** Pages that go with one that somebody waits for: its neighbours are likely to be next. */
const pagesAround = 16;

/** Blocks of firmware and tables up to this size, in bytes, are sent before the devices' state. */
const largestFirmware = 8 * 1024 * 1024;

export class PostcopySource {
  readonly #options: PostcopyOptions;
  readonly #head: SourceHead;
  readonly #blocks: readonly Block[];
  readonly #socket: net.Socket;
  readonly #clock: Clock;
  readonly #over = new AbortController();
  /** Settled when QEMU has loaded the devices. */
  readonly #loaded = Promise.withResolvers<undefined>();
  readonly #done = Promise.withResolvers<undefined>();
  /** Answers on their way. */
  readonly #answers = new Set<Promise<void>>();
  #isLoaded = false;
  /** Whether all is sent. */
  #closed = false;

  /** Returns when the devices' state is sent. Throws `stream_invalid`, `boot_failed` or `cancelled`. */
  static async begin(options: PostcopyOptions): Promise<PostcopySource> {
    throwIfCancelled(options.signal);
    const head = await readSourceHead(options.head);
    const state = packaged(options.tail);
    const socket = net.connect({ path: options.socket });
    await once(socket, "connect").catch((error: unknown) => {
      throw failed("it doesn't listen", error);
    });
    const source = new PostcopySource(options, head, socket);
    try {
      await source.#begin(state);
      return source;
    } catch (error) {
      // What ended it says more than what that made of whatever was going on.
      if (source.#over.signal.aborted) await source.#done.promise;
      source.close();
      throw error;
    }
  }

  private constructor(options: PostcopyOptions, head: SourceHead, socket: net.Socket) {
    this.#options = options;
    this.#head = head;
    this.#socket = socket;
    this.#clock = options.clock ?? systemClock;
    this.#blocks = head.blocks.map((block, number) => ({
      ...block,
      read: options.content(block, number),
      sent: new SentPages(block.size / head.page),
    }));
    this.#loaded.promise.catch(() => undefined);
    this.#done.promise.catch(() => undefined);
    const returned = new ReturnPath();
    socket.on("data", (chunk: Buffer) => this.#receive(returned, chunk));
    socket.on("error", (error) => this.#fail(failed(describeError(error), error)));
    socket.on("close", () => this.#fail(failed("it has closed the connection")));
    const cancel = (): void => this.#fail(cancelled());
    options.signal?.addEventListener("abort", cancel, { once: true });
    this.#over.signal.addEventListener("abort", () => options.signal?.removeEventListener("abort", cancel));
  }

  /** Resolves when QEMU has all pages. Rejects with `boot_failed` or `cancelled`. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** Ends it, whatever has been sent. */
  close(): void {
    this.#fail(cancelled());
  }

  async #begin(state: Buffer): Promise<void> {
    const { page } = this.#head;
    this.#write(opening(this.#head));
    const largest = this.#blocks.reduce((one, other) => (other.size > one.size ? other : one));
    this.#write(discard(largest, 0, page));
    // The announcement has emptied these too; a guest's first step may lead into them.
    for (const block of this.#blocks)
      if (block !== largest && block.size <= largestFirmware) await this.#sendAll(block, true);
    this.#write(state);
    this.#sendRest().catch((error: unknown) => this.#fail(error));
  }

  async #sendRest(): Promise<void> {
    for (const block of this.#blocks) await this.#sendAll(block);
    // Until then a device may wait for a page of zeros that wasn't sent. After the end QEMU brings no page, and lets what waits
    // for one have zeros only once the devices are loaded: it would stand still for ever.
    await this.#loaded.promise;
    while (this.#answers.size > 0) await Promise.all(this.#answers);
    this.#closed = true;
    this.#write(closing(this.#head));
  }

  /** Pages of zeros are left out: QEMU has them. */
  async #sendAll(block: Block, needed = false): Promise<void> {
    for (let offset = 0; offset < block.size; offset += bytesAtOnce) {
      const length = Math.min(bytesAtOnce, block.size - offset);
      const content = await this.#read(block, offset, length, needed);
      if (content === undefined) continue;
      if (this.#socket.writableNeedDrain) await once(this.#socket, "drain", { signal: this.#over.signal });
      this.#send(
        block,
        this.#pagesOf(content, offset).filter((one) => one.content !== undefined),
      );
    }
  }

  #receive(returned: ReturnPath, chunk: Buffer): void {
    this.#options.moved?.();
    try {
      for (const message of returned.take(chunk)) {
        if (message.type === "request") this.#request(message.block, message.offset, message.length);
        else if (message.type === "shut") this.#shut(message.status);
        else if (message.number === loaded) this.#noteLoaded();
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #noteLoaded(): void {
    this.#isLoaded = true;
    this.#loaded.resolve(undefined);
  }

  #request(id: string, offset: number, length: number): void {
    if (this.#closed) return;
    const block = this.#blocks.find((one) => one.id === id);
    if (block === undefined || length === 0 || offset + length > block.size)
      throw failed("it asks for pages that the machine doesn't have");
    const answer = this.#answer(block, offset, length).catch((error: unknown) => this.#fail(error));
    this.#answers.add(answer);
    void answer.then(() => this.#answers.delete(answer));
  }

  async #answer(block: Block, offset: number, length: number): Promise<void> {
    const { page } = this.#head;
    const unit = pagesAround * page;
    const end = Math.min(block.size, Math.ceil((offset + length) / unit) * unit);
    for (let at = Math.floor(offset / unit) * unit; at < end; at += unit) {
      const size = Math.min(unit, end - at);
      const numbers = Array.from({ length: size / page }, (_, number) => at / page + number);
      if (numbers.every((number) => block.sent.has(number))) continue;
      const content = await this.#read(block, at, size, true);
      this.#send(block, this.#pagesOf(content ?? Buffer.alloc(size), at));
    }
  }

  #pagesOf({ buffer, byteOffset, byteLength }: Uint8Array, offset: number): PageRecord[] {
    const { page } = this.#head;
    const zeros = Buffer.alloc(page);
    return Array.from({ length: byteLength / page }, (_, number) => {
      const content = Buffer.from(buffer, byteOffset + number * page, page);
      return { offset: offset + number * page, content: content.equals(zeros) ? undefined : content };
    });
  }

  /** Without waiting for anything between looking what was sent and sending it. */
  #send(block: Block, pages: readonly PageRecord[]): void {
    const { page } = this.#head;
    const lacking = pages.filter(({ offset }) => !block.sent.has(offset / page));
    if (lacking.length === 0) return;
    for (const { offset } of lacking) block.sent.add(offset / page);
    this.#write(pageSection(this.#head, block, lacking));
  }

  /** `needed`: by somebody who waits for it. */
  async #read(block: Block, offset: number, length: number, needed: boolean): Promise<Uint8Array | undefined> {
    const { signal } = this.#over;
    for (let tries = 1, wait = firstWait; ; tries++, wait = Math.min(longestWait, wait * 2)) {
      try {
        return await block.read(offset, length);
      } catch (error) {
        throwIfCancelled(signal);
        if (needed && !this.#isLoaded && (tries === mostTries || isFinal(error))) throw error;
        this.#options.onFailure(`${block.id}: ${describeError(error)}`);
        await this.#clock.sleep(wait, signal);
      }
    }
  }

  #write(bytes: Buffer): void {
    throwIfCancelled(this.#over.signal);
    this.#socket.write(bytes, this.#options.moved);
  }

  #shut(status: number): void {
    if (!this.#closed || status !== 0) throw failed(`it ended the loading with status ${status}`);
    this.#done.resolve(undefined);
    this.#over.abort();
    this.#socket.destroy();
  }

  /** Only the first reason counts: those that follow are its consequences. */
  #fail(error: unknown): void {
    if (this.#over.signal.aborted) return;
    this.#loaded.reject(error);
    this.#done.reject(error);
    this.#over.abort();
    this.#socket.destroy();
  }
}

/** Whether it would fail again, however often it is tried. */
function isFinal(error: unknown): boolean {
  return isStillpointError(error) && !error.retryable;
}
