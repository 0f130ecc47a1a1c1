/** A storage in a bucket of AWS S3, or of a store that speaks its language: `<prefix><name>`. */

import type { GetObjectCommandOutput } from "@aws-sdk/client-s3";
import { StillpointError } from "../../../errors.ts";
import { throwIfCancelled, unlessCancelled } from "../../../host/cancel.ts";
import { systemClock, type Clock } from "../../../host/clock.ts";
import { nodeFiles } from "../../../host/node-files.ts";
import { systemRandom, type Random } from "../../../host/random.ts";
import { isObjectName, requireObjectName, requirePrefix } from "../../names.ts";
import { sizeOf } from "../../size-of.ts";
import type { ByteRange, CallOptions, ObjectInfo, S3Address, Storage } from "../../storage.ts";
import { joined, readBody } from "./s3-bytes.ts";
import { factsOf, s3ErrorFrom } from "./s3-errors.ts";
import { S3Listing } from "./s3-listing.ts";
import { S3Requests, type S3RequestsOptions } from "./s3-requests.ts";
import { S3Uploads, type UploadSizes } from "./s3-uploads.ts";

export interface S3StorageOptions {
  readonly address: S3Address;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** For `CREDENTIALS_DIRECTORY`. By default the process's own. */
  readonly environment?: S3RequestsOptions["environment"] | undefined;
  readonly patience?: S3RequestsOptions["patience"] | undefined;
  readonly sizes?: UploadSizes | undefined;
}

/** In ms. Stores that are busy may take long to answer; AWS says 503 well within this. */
const usualPatience = { connect: 10_000, idle: 60_000 };
/** A pack (16 MiB, docs/decisions/0003-pack-size.md) goes in one request; S3 allows parts of 5 MiB to 5 GiB. */
const usualSizes = { single: 32 * 1024 * 1024, part: 16 * 1024 * 1024 };

/**
 * S3 gives what the contract asks for: a put is seen whole or not at all, also when it was sent in parts, and is seen by
 * every later read and listing (AWS since 2020; Ceph and MinIO always). Conditional requests aren't used: stores differ in them.
 *
 * In a bucket with versions, a put adds a version and a delete adds a marker; what they hide takes space until the
 * bucket's lifecycle rules remove it.
 */
export class S3Storage implements Storage {
  readonly location: string;
  readonly #address: S3Address;
  readonly #requests: S3Requests;
  readonly #uploads: S3Uploads;
  readonly #sizes: UploadSizes;

  constructor(options: S3StorageOptions) {
    const { address, clock = systemClock, random = systemRandom, sizes = usualSizes } = options;
    const { environment = process.env, patience = usualPatience } = options;
    this.location = address.location;
    this.#address = address;
    this.#sizes = sizes;
    this.#requests = new S3Requests({ address, files: nodeFiles, clock, environment, patience });
    this.#uploads = new S3Uploads({ address, requests: this.#requests, clock, random, partSize: sizes.part });
  }

  /** @throws StillpointError `storage_unreachable` when there is no such bucket, or as the contract says */
  async requireBucket({ signal }: CallOptions = {}): Promise<void> {
    const { bucket: Bucket } = this.#address;
    try {
      await this.#requests.send(signal, async (s3, options) => await s3.headBucket({ Bucket }, options));
    } catch (error) {
      throw factsOf(error).status === 404 ? this.#noBucket() : this.#explain("use the bucket", error);
    }
  }

  async put(name: string, data: readonly Uint8Array[], { signal }: CallOptions = {}): Promise<void> {
    await this.#call("store", name, signal, async (object) => {
      if (sizeOf(data) > this.#sizes.single) await this.#uploads.upload(object.Key, data, signal);
      else {
        const Body = joined(data);
        await this.#requests.send(signal, async (s3, options) => await s3.putObject({ ...object, Body }, options));
      }
    });
  }

  async get(name: string, range?: ByteRange, { signal }: CallOptions = {}): Promise<Buffer> {
    return await this.#call("read", name, signal, async (object) => {
      const Range = range && `bytes=${range.offset}-${range.offset + range.length - 1}`;
      return await this.#requests.send(signal, async (s3, options) => {
        const input = Range === undefined ? object : { ...object, Range };
        const answer = await s3.getObject(input, options).catch((error: unknown) => {
          throw range && factsOf(error).status === 416 ? this.#shortRead(name, range, "nothing") : error;
        });
        if (range) this.#checkRange(name, range, answer);
        return await readBody(answer, signal);
      });
    });
  }

  async stat(name: string, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    return await this.#call("look at", name, signal, async (object) => {
      const answer = await this.#requests.send(signal, async (s3, options) => await s3.headObject(object, options));
      const { ContentLength: size, LastModified: time } = answer;
      if (size === undefined || time === undefined) throw this.#strange(`look at ${name}`, "no size or time");
      return { name, size, time: wholeSeconds(time) };
    });
  }

  async delete(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#call("delete", name, signal, async (object) => {
      try {
        await this.#requests.send(signal, async (s3, options) => await s3.deleteObject(object, options));
      } catch (error) {
        if (factsOf(error).name !== "NoSuchKey") throw error;
      }
    });
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncIterable<ObjectInfo> {
    requirePrefix(prefix);
    const { bucket: Bucket, prefix: own } = this.#address;
    const listing = new S3Listing(this.location);
    while (!listing.complete) {
      const page = await this.#attempt("list", signal, async () => {
        const input = { Bucket, Prefix: own + prefix, ...listing.next };
        return await this.#requests.send(signal, async (s3, options) => await s3.listObjectsV2(input, options));
      });
      for (const { Key = "", Size: size, LastModified: time } of listing.take(page)) {
        const name = Key.slice(own.length);
        // A key that no object can have isn't ours: a folder that the store's console made, say.
        if (!Key.startsWith(own + prefix) || !isObjectName(name)) continue;
        if (size === undefined || time === undefined) throw this.#strange("list", "no size or time");
        yield { name, size, time: wholeSeconds(time) };
      }
    }
  }

  async #call<T>(
    action: string,
    name: string,
    signal: AbortSignal | undefined,
    work: (object: { readonly Bucket: string; readonly Key: string }) => Promise<T>,
  ): Promise<T> {
    requireObjectName(name);
    const { bucket: Bucket, prefix } = this.#address;
    return await this.#attempt(`${action} ${name}`, signal, async () => {
      try {
        return await work({ Bucket, Key: prefix + name });
      } catch (error) {
        throw await this.#whyMissing(name, error);
      }
    });
  }

  /** Does the work: cancelled soon when the signal aborts, and with the contract's errors. */
  async #attempt<T>(action: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    throwIfCancelled(signal);
    try {
      return await unlessCancelled(work(), signal);
    } catch (error) {
      throwIfCancelled(signal);
      throw this.#explain(action, error);
    }
  }

  /** An answer to HEAD has no body that could say what it is that isn't there: the object, or the whole bucket. */
  async #whyMissing(name: string, error: unknown): Promise<unknown> {
    const { name: code, status } = factsOf(error);
    if (status !== 404 || code === "NoSuchBucket" || code === "NoSuchUpload") return error;
    if (code !== "NoSuchKey") await this.requireBucket();
    return new StillpointError("object_missing", {
      what: `Cannot find ${name} in ${this.location}: there is no such object`,
    });
  }

  /** A store that ignores ranges, or whose object ends before. */
  #checkRange(name: string, range: ByteRange, answer: GetObjectCommandOutput): void {
    const expected = `bytes ${range.offset}-${range.offset + range.length - 1}/`;
    if (answer.ContentRange?.startsWith(expected) !== true || answer.ContentLength !== range.length) {
      const got = answer.ContentRange ?? "the whole object";
      throw this.#shortRead(name, range, /^[\w */-]{1,80}$/.test(got) ? got : "something else");
    }
  }

  #explain(action: string, error: unknown): StillpointError {
    return s3ErrorFrom(error, { location: this.location, action });
  }

  #shortRead(name: string, { offset, length }: ByteRange, got: string): StillpointError {
    return new StillpointError("storage_failed", {
      what: `Cannot read ${length} bytes from ${offset} of ${name} in ${this.location}: the store gave ${got}`,
      safe: "Nothing was changed.",
      next: "Run `stillpoint check` to learn what is damaged.",
      retryable: false,
    });
  }

  #strange(action: string, what: string): StillpointError {
    return new StillpointError("storage_failed", {
      what: `Cannot ${action} in ${this.location}: the store's answer has ${what}`,
      safe: "Nothing was changed.",
      next: "See whether the endpoint is an S3 store.",
    });
  }

  #noBucket(): StillpointError {
    const { bucket, endpoint = "AWS S3" } = this.#address;
    return new StillpointError("storage_unreachable", {
      what: `Cannot use the storage ${this.location}: there is no bucket ${bucket} at ${endpoint}`,
      safe: "Nothing was made anew in its place.",
      next: "Make the bucket, or see that its name, the endpoint and the access key belong together.",
    });
  }
}

/** HEAD gives whole seconds, listings of some stores parts of them: one object has one time. */
function wholeSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000) * 1000;
}
