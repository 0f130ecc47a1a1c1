/** A storage in a bucket of AWS S3, or of a store that speaks its language: `<prefix><name>`. */

import type { GetObjectCommandOutput } from "@aws-sdk/client-s3";
import { StillpointError } from "../../../errors.ts";
import { systemClock, type Clock } from "../../../host/clock.ts";
import { nodeFiles } from "../../../host/node-files.ts";
import { systemRandom, type Random } from "../../../host/random.ts";
import { allEnded } from "../../all-ended.ts";
import { isObjectName, requirePrefix } from "../../names.ts";
import type { ObjectLocks } from "../../object-locks.ts";
import type { ByteRange, CallOptions, GetOptions, ObjectInfo, S3Address, Storage } from "../../storage.ts";
import { readBody, type ReadBodyOptions, wholeSeconds } from "./s3-bytes.ts";
import { S3Calls } from "./s3-calls.ts";
import { factsOf } from "./s3-errors.ts";
import { S3Listing } from "./s3-listing.ts";
import { S3Locks } from "./s3-locks.ts";
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
  readonly moved?: S3RequestsOptions["moved"];
}

/** In ms. Stores that are busy may take long to answer; AWS says 503 well within this. */
const usualPatience = { connect: 10_000, idle: 60_000 };
/** A pack (16 MiB, docs/decisions/0003-pack-size.md) goes in one request; S3 allows parts of 5 MiB to 5 GiB. */
const usualSizes = { single: 32 * 1024 * 1024, part: 16 * 1024 * 1024 };

/**
 * In bytes: longer ranges are read in parts, side by side. On a long line a connection carries as much in a round trip as the window
 * of TCP is wide, which Linux lets grow to some MiB.
 */
const longestGet = 8 * 1024 * 1024;

/**
 * S3 gives what the contract asks for: a put is seen whole or not at all, also when it was sent in parts, and is seen by
 * every later read and listing (AWS since 2020; Ceph and MinIO always). Conditional requests aren't used: stores differ in them.
 *
 * In a bucket with versions, a put adds a version and a delete adds a marker; what they hide takes space until the
 * bucket's lifecycle rules remove it.
 */
export class S3Storage implements Storage {
  readonly location: string;
  readonly locks: ObjectLocks | undefined;
  readonly #calls: S3Calls;
  readonly #requests: S3Requests;
  readonly #uploads: S3Uploads;

  constructor(options: S3StorageOptions) {
    const { address, clock = systemClock, random = systemRandom, sizes = usualSizes } = options;
    const { environment = process.env, patience = usualPatience, moved } = options;
    this.location = address.location;
    this.#requests = new S3Requests({ address, files: nodeFiles, clock, environment, patience, moved });
    this.#calls = new S3Calls(address, this.#requests);
    this.#uploads = new S3Uploads({ address, requests: this.#requests, clock, random, sizes });
    const { objectLock: mode } = address;
    this.locks = mode && new S3Locks({ calls: this.#calls, uploads: this.#uploads, mode });
  }

  /** @throws StillpointError `storage_unreachable` when there is no such bucket, or as the contract says */
  async requireBucket(options: CallOptions = {}): Promise<void> {
    await this.#calls.requireBucket(options);
  }

  async put(name: string, data: readonly Uint8Array[], { signal }: CallOptions = {}): Promise<void> {
    await this.#calls.call("store", name, signal, async (object) => await this.#uploads.put(object, data, signal));
  }

  async get(name: string, range?: ByteRange, { signal, into }: GetOptions = {}): Promise<Buffer> {
    if (range === undefined || range.length <= longestGet) return await this.#get(name, range, { signal, into });
    const data = into ?? Buffer.allocUnsafeSlow(range.length);
    const parts: Promise<Buffer>[] = [];
    for (let at = 0; at < range.length; at += longestGet) {
      const part = data.subarray(at, at + longestGet);
      parts.push(this.#get(name, { offset: range.offset + at, length: part.length }, { signal, into: part }));
    }
    await allEnded(parts);
    return data;
  }

  async #get(name: string, range: ByteRange | undefined, { signal, into }: ReadBodyOptions): Promise<Buffer> {
    return await this.#calls.call("read", name, signal, async (object) => {
      const Range = range && `bytes=${range.offset}-${range.offset + range.length - 1}`;
      return await this.#requests.send(signal, async (s3, options) => {
        const input = Range === undefined ? object : { ...object, Range };
        const answer = await s3.getObject(input, options).catch((error: unknown) => {
          throw range && factsOf(error).status === 416 ? this.#shortRead(name, range, "nothing") : error;
        });
        if (range) this.#checkRange(name, range, answer);
        return await readBody(answer, { signal, into, moved: this.#requests.moved });
      });
    });
  }

  async stat(name: string, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    return await this.#calls.call("look at", name, signal, async (object) => {
      const answer = await this.#requests.send(signal, async (s3, options) => await s3.headObject(object, options));
      const { ContentLength: size, LastModified: time } = answer;
      if (size === undefined || time === undefined) throw this.#calls.strange(`look at ${name}`, "no size or time");
      return { name, size, time: wholeSeconds(time) };
    });
  }

  async delete(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#calls.call("delete", name, signal, async (object) => {
      try {
        await this.#requests.send(signal, async (s3, options) => await s3.deleteObject(object, options));
      } catch (error) {
        if (factsOf(error).name !== "NoSuchKey") throw error;
      }
    });
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncIterable<ObjectInfo> {
    requirePrefix(prefix);
    const { bucket: Bucket, prefix: own } = this.#calls.address;
    const listing = new S3Listing(this.location);
    while (!listing.complete) {
      const page = await this.#calls.attempt("list the objects", signal, async () => {
        const input = { Bucket, Prefix: own + prefix, ...listing.next };
        return await this.#requests.send(signal, async (s3, options) => await s3.listObjectsV2(input, options));
      });
      for (const { Key = "", Size: size, LastModified: time } of listing.take(page)) {
        const name = Key.slice(own.length);
        // A key that no object can have isn't ours: a folder that the store's console made, say.
        if (!Key.startsWith(own + prefix) || !isObjectName(name)) continue;
        if (size === undefined || time === undefined) throw this.#calls.strange("list the objects", "no size or time");
        yield { name, size, time: wholeSeconds(time) };
      }
    }
  }

  /** What stands between the storage's own prefix and the next `/`, in the keys that have one. */
  async listFolders({ signal }: CallOptions = {}): Promise<string[]> {
    const { bucket: Bucket, prefix: Prefix } = this.#calls.address;
    const listing = new S3Listing(this.location);
    const found: string[] = [];
    while (!listing.complete) {
      const page = await this.#calls.attempt("list the prefixes", signal, async () => {
        const input = { Bucket, Prefix, Delimiter: "/", ...listing.next };
        return await this.#requests.send(signal, async (s3, options) => await s3.listObjectsV2(input, options));
      });
      listing.take(page);
      for (const { Prefix: one = "" } of page.CommonPrefixes ?? []) found.push(one.slice(Prefix.length, -1));
    }
    return found;
  }

  /** A store that ignores ranges, or whose object ends before. */
  #checkRange(name: string, range: ByteRange, answer: GetObjectCommandOutput): void {
    const expected = `bytes ${range.offset}-${range.offset + range.length - 1}/`;
    if (answer.ContentRange?.startsWith(expected) !== true || answer.ContentLength !== range.length) {
      const got = answer.ContentRange ?? "the whole object";
      throw this.#shortRead(name, range, /^[\w */-]{1,80}$/.test(got) ? got : "something else");
    }
  }

  #shortRead(name: string, { offset, length }: ByteRange, got: string): StillpointError {
    return new StillpointError("storage_failed", {
      what: `Cannot read ${length} bytes from ${offset} of ${name} in ${this.location}: the store gave ${got}`,
      safe: "Nothing was changed.",
      next: "Run `stillpoint check` to learn what is damaged.",
      retryable: false,
    });
  }
}
