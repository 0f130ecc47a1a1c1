/** S3 Object Lock: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html */

import type { DeleteMarkerEntry, ListObjectVersionsCommandInput, ObjectVersion as S3Version } from "@aws-sdk/client-s3";
import { StillpointError } from "../../../errors.ts";
import { isObjectName, requirePrefix } from "../../names.ts";
import type { LockMode, ObjectLocks, ObjectVersion } from "../../object-locks.ts";
import type { CallOptions } from "../../storage.ts";
import { readBody, wholeSeconds } from "./s3-bytes.ts";
import type { S3Calls, S3Object } from "./s3-calls.ts";
import { factsOf } from "./s3-errors.ts";
import type { S3Uploads } from "./s3-uploads.ts";

/** What stores answer when asked for the lock of a version that has none: AWS and MinIO the first, Ceph the second. */
const unlocked = new Set(["NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"]);

export interface S3LocksOptions {
  readonly calls: S3Calls;
  readonly uploads: S3Uploads;
  readonly mode: LockMode;
}

export class S3Locks implements ObjectLocks {
  readonly #calls: S3Calls;
  readonly #uploads: S3Uploads;
  readonly #mode: "GOVERNANCE" | "COMPLIANCE";

  constructor({ calls, uploads, mode }: S3LocksOptions) {
    this.#calls = calls;
    this.#uploads = uploads;
    this.#mode = mode === "governance" ? "GOVERNANCE" : "COMPLIANCE";
  }

  async require({ signal }: CallOptions = {}): Promise<number> {
    const { bucket: Bucket } = this.#calls.address;
    return await this.#calls.attempt("look at the bucket's locks", signal, async () => {
      const enabled = await this.#send(signal, async (s3, options) => {
        const answer = await s3.getObjectLockConfiguration({ Bucket }, options);
        return answer.ObjectLockConfiguration?.ObjectLockEnabled === "Enabled";
      }).catch((error: unknown) => {
        // The second: stores that don't know Object Lock, such as Garage. Others ignore the question, and answer with a listing.
        const { name, status } = factsOf(error);
        if (name === "ObjectLockConfigurationNotFoundError" || status === 501) return false;
        throw error;
      });
      if (!enabled) throw this.#noLocks();
      const time = this.#calls.requests.storeTime;
      if (time === undefined) throw this.#calls.strange("look at the bucket's locks", "no date");
      return time;
    });
  }

  async put(name: string, data: readonly Uint8Array[], until: number, { signal }: CallOptions = {}): Promise<string> {
    return await this.#calls.call("store", name, signal, async (object) => {
      const version = this.#known(await this.#uploads.put(object, data, signal, this.#lock(until)), `store ${name}`);
      await this.#see(object, version, until, signal);
      return version;
    });
  }

  async lockedUntil(name: string, version: string, { signal }: CallOptions = {}): Promise<number | undefined> {
    return await this.#calls.call("look at the lock of", name, signal, async (object) => {
      return await this.#retention(object, version, signal);
    });
  }

  async extend(name: string, version: string, until: number, { signal }: CallOptions = {}): Promise<void> {
    await this.#calls.call("lock", name, signal, async (object) => await this.#see(object, version, until, signal));
  }

  async *versions(prefix: string, { signal }: CallOptions = {}): AsyncIterable<ObjectVersion> {
    requirePrefix(prefix);
    const { bucket: Bucket, prefix: own } = this.#calls.address;
    let input: ListObjectVersionsCommandInput | undefined = { Bucket, Prefix: own + prefix };
    while (input !== undefined) {
      const asked: ListObjectVersionsCommandInput = input;
      const page = await this.#calls.attempt("list the versions", signal, async () => {
        return await this.#send(signal, async (s3, options) => await s3.listObjectVersions(asked, options));
      });
      for (const found of page.Versions ?? []) yield* this.#listed(found, false);
      for (const found of page.DeleteMarkers ?? []) yield* this.#listed(found, true);
      const { IsTruncated, NextKeyMarker: KeyMarker, NextVersionIdMarker: VersionIdMarker } = page;
      if (IsTruncated === undefined || (IsTruncated && KeyMarker === undefined))
        throw this.#calls.strange("list the versions", "no word on how to go on");
      const same = KeyMarker === asked.KeyMarker && VersionIdMarker === asked.VersionIdMarker;
      if (IsTruncated && same) throw this.#calls.strange("list the versions", "the same page again");
      input = IsTruncated ? { Bucket, Prefix: own + prefix, KeyMarker, VersionIdMarker } : undefined;
    }
  }

  async get(name: string, version: string, { signal }: CallOptions = {}): Promise<Buffer> {
    return await this.#calls.call("read", name, signal, async (object) => {
      return await this.#send(signal, async (s3, options) => {
        return await readBody(await s3.getObject({ ...object, VersionId: version }, options), { signal });
      });
    });
  }

  async restore(name: string, version: string, until: number, { signal }: CallOptions = {}): Promise<string> {
    return await this.#calls.call("bring back", name, signal, async (object) => {
      const CopySource = `${object.Bucket}/${encodeURI(object.Key)}?versionId=${encodeURIComponent(version)}`;
      // Without REPLACE a copy onto itself is refused. Objects here have no metadata to lose.
      const input = { ...object, ...this.#lock(until), CopySource, MetadataDirective: "REPLACE" } as const;
      const copied = await this.#send(signal, async (s3, options) => await s3.copyObject(input, options));
      const found = copied.VersionId ?? (await this.#versionOfCopy(object, copied.CopyObjectResult?.ETag, signal));
      const made = this.#known(found, `bring back ${name}`);
      await this.#see(object, made, until, signal);
      return made;
    });
  }

  get #send(): S3Calls["requests"]["send"] {
    return this.#calls.requests.send.bind(this.#calls.requests);
  }

  #lock(until: number): { ObjectLockMode: "GOVERNANCE" | "COMPLIANCE"; ObjectLockRetainUntilDate: Date } {
    return { ObjectLockMode: this.#mode, ObjectLockRetainUntilDate: new Date(until) };
  }

  /**
   * Sees to it that a version is locked until then. Also after a put or copy that said so: Ceph 16 ignores that in silence
   * when an object is copied or sent in parts.
   */
  async #see(object: S3Object, VersionId: string, until: number, signal: AbortSignal | undefined): Promise<void> {
    const present = await this.#retention(object, VersionId, signal);
    if (present !== undefined && present >= wholeSeconds(new Date(until))) return;
    const input = { ...object, VersionId, Retention: { Mode: this.#mode, RetainUntilDate: new Date(until) } };
    await this.#send(signal, async (s3, options) => await s3.putObjectRetention(input, options));
  }

  /** Ceph 16 doesn't say which version a copy has made: the newest, if that has the copy's content. */
  async #versionOfCopy(
    object: S3Object,
    etag: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const newest = await this.#send(signal, async (s3, options) => await s3.headObject(object, options));
    const same = etag !== undefined && newest.ETag?.replaceAll('"', "") === etag.replaceAll('"', "");
    if (!same) throw this.#calls.strange("bring back an object", "another object's version, put at the same moment");
    return newest.VersionId;
  }

  async #retention(object: S3Object, VersionId: string, signal: AbortSignal | undefined): Promise<number | undefined> {
    try {
      const input = { ...object, VersionId };
      const { Retention } = await this.#send(
        signal,
        async (s3, options) => await s3.getObjectRetention(input, options),
      );
      return Retention?.RetainUntilDate?.getTime();
    } catch (error) {
      if (unlocked.has(factsOf(error).name)) return undefined;
      throw error;
    }
  }

  *#listed(found: S3Version | DeleteMarkerEntry, marker: boolean): Generator<ObjectVersion> {
    const { prefix: own } = this.#calls.address;
    const { Key = "", VersionId: version, IsLatest: current, LastModified: time } = found;
    const name = Key.slice(own.length);
    if (!Key.startsWith(own) || !isObjectName(name)) return;
    const { Size: size, ETag: etag = "" } = marker ? {} : (found as S3Version);
    if (version === undefined || current === undefined || time === undefined || (size === undefined && !marker))
      throw this.#calls.strange("list the versions", "a version without its id, time or size");
    yield { name, version, current, marker, size: size ?? 0, etag, time: wholeSeconds(time) };
  }

  #known(version: string | undefined, action: string): string {
    if (version === undefined || version === "null") throw this.#noLocks(action);
    return version;
  }

  #noLocks(action = "lock anything"): StillpointError {
    const { location, bucket } = this.#calls.address;
    return new StillpointError("storage_denied", {
      what: `Cannot ${action} in ${location}: the bucket ${bucket} keeps no versions or has no Object Lock`,
      safe: "What is there is untouched, and not locked.",
      next: "Make a bucket with Object Lock (it can be chosen only then at most stores, and some stores have none) and name that.",
    });
  }
}
