import type { CompletedPart, MultipartUpload } from "@aws-sdk/client-s3";
import { throwIfCancelled } from "../../../host/cancel.ts";
import type { Clock } from "../../../host/clock.ts";
import type { Random } from "../../../host/random.ts";
import { Repeater } from "../../repeater.ts";
import type { S3Address } from "../../storage.ts";
import { partsOf } from "./s3-bytes.ts";
import { s3ErrorFrom } from "./s3-errors.ts";
import type { S3Requests } from "./s3-requests.ts";

/** In bytes. */
export interface UploadSizes {
  /** The largest object that is sent in one request. */
  readonly single: number;
  /** Of each part but the last, of any larger one. S3 takes 10,000 parts of 5 MiB at least. */
  readonly part: number;
}

export interface S3UploadsOptions {
  readonly address: S3Address;
  readonly requests: S3Requests;
  readonly clock: Clock;
  readonly random: Random;
  readonly partSize: number;
}

/** Parts of one object under way at once: with their size, what bounds the memory. */
const partsAtOnce = 4;
/** In ms: an unfinished upload that is older belongs to nobody. One put takes minutes. */
const abandonedAfter = 24 * 3_600_000;
/** In ms: how long clearing up may take after the upload has failed or was cancelled. */
const farewell = 10_000;

interface Upload {
  readonly Bucket: string;
  readonly Key: string;
  readonly UploadId: string;
}

/** Sends large objects in parts (S3's multipart upload): the object is there when all parts are, and not before. */
export class S3Uploads {
  readonly #options: S3UploadsOptions;
  #abandonedRemoved = false;

  constructor(options: S3UploadsOptions) {
    this.#options = options;
  }

  async upload(key: string, data: readonly Uint8Array[], signal: AbortSignal | undefined): Promise<void> {
    await this.#removeAbandonedOnce(signal);
    const upload = await this.#begin(key, signal);
    try {
      const Parts = await this.#sendParts(upload, data, signal);
      await this.#options.requests.send(
        signal,
        async (s3, options) => await s3.completeMultipartUpload({ ...upload, MultipartUpload: { Parts } }, options),
      );
    } catch (error) {
      await this.#abort(upload);
      throw error;
    }
  }

  async #begin(Key: string, signal: AbortSignal | undefined): Promise<Upload> {
    const { address, requests } = this.#options;
    const object = { Bucket: address.bucket, Key };
    const { UploadId } = await requests.send(
      signal,
      async (s3, options) => await s3.createMultipartUpload(object, options),
    );
    return { ...object, UploadId: UploadId ?? "" };
  }

  /** Several at once; each is tried again by itself, so that a hiccup doesn't cost the parts that are there. */
  async #sendParts(
    upload: Upload,
    data: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<CompletedPart[]> {
    const { clock, random, partSize } = this.#options;
    const repeater = new Repeater({ clock, random, attempts: 3 });
    const done: CompletedPart[] = [];
    const failed = new AbortController();
    const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    const parts = partsOf(data, partSize);
    const sender = async (): Promise<void> => {
      for (let step = parts.next(); !step.done && !either.aborted; step = parts.next()) {
        const PartNumber = ++numbered;
        const body = step.value;
        const ETag = await repeater.repeat(async () => await this.#sendPart(upload, PartNumber, body, either), either);
        done[PartNumber - 1] = { PartNumber, ...ETag };
      }
    };
    let numbered = 0;
    try {
      await Promise.all(Array.from({ length: partsAtOnce }, sender));
    } finally {
      failed.abort();
    }
    throwIfCancelled(signal);
    return done;
  }

  async #sendPart(upload: Upload, PartNumber: number, Body: Uint8Array, signal: AbortSignal): Promise<CompletedPart> {
    const { requests, address } = this.#options;
    try {
      const answer = await requests.send(
        signal,
        async (s3, options) => await s3.uploadPart({ ...upload, PartNumber, Body }, options),
      );
      const { ETag, ChecksumCRC32 } = answer;
      return { ...(ETag !== undefined && { ETag }), ...(ChecksumCRC32 !== undefined && { ChecksumCRC32 }) };
    } catch (error) {
      throw s3ErrorFrom(error, { location: address.location, action: `store part ${PartNumber} of ${upload.Key}` });
    }
  }

  /** Its parts would take space for ever. When this fails too, a later process removes them. */
  async #abort(upload: Upload): Promise<void> {
    const { requests, clock } = this.#options;
    const patience = new AbortController();
    const work = requests.send(patience.signal, async (s3, options) => await s3.abortMultipartUpload(upload, options));
    await Promise.race([work, clock.sleep(farewell, patience.signal)]).catch(() => undefined);
    patience.abort();
    await work.catch(() => undefined);
  }

  /** Removes what processes left that were killed while they sent. A key that may not do that goes on without. */
  async #removeAbandonedOnce(signal: AbortSignal | undefined): Promise<void> {
    if (this.#abandonedRemoved) return;
    this.#abandonedRemoved = true;
    const { address, requests, clock } = this.#options;
    const input = { Bucket: address.bucket, Prefix: address.prefix };
    const isAbandoned = ({ Initiated }: MultipartUpload): boolean =>
      Initiated !== undefined && clock.now() - Initiated.getTime() > abandonedAfter;
    try {
      const { Uploads = [] } = await requests.send(
        signal,
        async (s3, options) => await s3.listMultipartUploads(input, options),
      );
      for (const { Key = "", UploadId = "" } of Uploads.filter(isAbandoned))
        await this.#abort({ Bucket: address.bucket, Key, UploadId });
    } catch {
      // The upload itself will say what is wrong, if anything is.
    }
  }
}
