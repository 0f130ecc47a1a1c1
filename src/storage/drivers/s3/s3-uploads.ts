import type { CompletedPart, MultipartUpload, PutObjectCommandInput } from "@aws-sdk/client-s3";
import { createHash } from "node:crypto";
import { throwIfCancelled } from "../../../host/cancel.ts";
import type { Clock } from "../../../host/clock.ts";
import type { Random } from "../../../host/random.ts";
import { Repeater } from "../../repeater.ts";
import { sizeOf } from "../../size-of.ts";
import type { S3Address } from "../../storage.ts";
import { joined, partsOf } from "./s3-bytes.ts";
import type { S3Object } from "./s3-calls.ts";
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
  readonly sizes: UploadSizes;
}

/** Parts of one object under way at once: with their size, what bounds the memory. */
const partsAtOnce = 4;
/** In ms: an unfinished upload that is older belongs to nobody. One put takes minutes. */
const abandonedAfter = 24 * 3_600_000;
/** In ms: how long clearing up may take after the upload has failed or was cancelled. */
const farewell = 10_000;

interface Upload extends S3Object {
  readonly UploadId: string;
}

/** What goes with a put that locks. */
export type UploadLock = Pick<PutObjectCommandInput, "ObjectLockMode" | "ObjectLockRetainUntilDate">;

/** Sends objects, large ones in parts (S3's multipart upload): the object is there when all parts are, and not before. */
export class S3Uploads {
  readonly #options: S3UploadsOptions;
  #abandonedRemoved = false;

  constructor(options: S3UploadsOptions) {
    this.#options = options;
  }

  /** Returns the version, in a bucket that has them. */
  async put(
    object: S3Object,
    data: readonly Uint8Array[],
    signal: AbortSignal | undefined,
    lock: UploadLock = {},
  ): Promise<string | undefined> {
    if (sizeOf(data) > this.#options.sizes.single) return await this.#putInParts(object, data, signal, lock);
    const Body = joined(data);
    // S3 wants proof of the content for whatever is locked; of the ways to give it, every store knows this one.
    const digest =
      lock.ObjectLockMode === undefined ? {} : { ContentMD5: createHash("md5").update(Body).digest("base64") };
    const input = { ...object, ...lock, ...digest, Body };
    const { requests } = this.#options;
    return (await requests.send(signal, async (s3, options) => await s3.putObject(input, options))).VersionId;
  }

  async #putInParts(
    object: S3Object,
    data: readonly Uint8Array[],
    signal: AbortSignal | undefined,
    lock: UploadLock,
  ): Promise<string | undefined> {
    await this.#removeAbandonedOnce(signal);
    const { requests } = this.#options;
    const { UploadId = "" } = await requests.send(
      signal,
      async (s3, options) => await s3.createMultipartUpload({ ...object, ...lock }, options),
    );
    const upload = { ...object, UploadId };
    try {
      const Parts = await this.#sendParts(upload, data, signal);
      const done = await requests.send(
        signal,
        async (s3, options) => await s3.completeMultipartUpload({ ...upload, MultipartUpload: { Parts } }, options),
      );
      return done.VersionId;
    } catch (error) {
      await this.#abort(upload);
      throw error;
    }
  }

  /** Several at once; each is tried again by itself, so that a hiccup doesn't cost the parts that are there. */
  async #sendParts(
    upload: Upload,
    data: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<CompletedPart[]> {
    const { clock, random, sizes } = this.#options;
    const repeater = new Repeater({ clock, random, attempts: 3 });
    const done: CompletedPart[] = [];
    const failed = new AbortController();
    const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    const parts = partsOf(data, sizes.part);
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
