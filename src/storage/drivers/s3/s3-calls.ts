import { StillpointError } from "../../../errors.ts";
import { throwIfCancelled, unlessCancelled } from "../../../host/cancel.ts";
import { requireObjectName } from "../../names.ts";
import type { CallOptions, S3Address } from "../../storage.ts";
import { factsOf, s3ErrorFrom } from "./s3-errors.ts";
import type { S3Requests } from "./s3-requests.ts";

/** An object, as requests name it. */
export interface S3Object {
  readonly Bucket: string;
  readonly Key: string;
}

/** What every call to a bucket has in common: names become keys, errors become those of the storage contract. */
export class S3Calls {
  readonly address: S3Address;
  readonly requests: S3Requests;

  constructor(address: S3Address, requests: S3Requests) {
    this.address = address;
    this.requests = requests;
  }

  /** Does the work on the object of that name. `action` completes "Cannot … NAME". */
  async call<T>(
    action: string,
    name: string,
    signal: AbortSignal | undefined,
    work: (object: S3Object) => Promise<T>,
  ): Promise<T> {
    requireObjectName(name);
    const { bucket: Bucket, prefix } = this.address;
    return await this.attempt(`${action} ${name}`, signal, async () => {
      const object = { Bucket, Key: prefix + name };
      try {
        return await work(object);
      } catch (error) {
        throw await this.#whyMissing(name, await this.#whyDenied(object, signal, error));
      }
    });
  }

  /** Does the work: cancelled soon when the signal aborts, and with the contract's errors. */
  async attempt<T>(action: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    throwIfCancelled(signal);
    try {
      return await unlessCancelled(work(), signal);
    } catch (error) {
      throwIfCancelled(signal);
      throw s3ErrorFrom(error, { location: this.address.location, action });
    }
  }

  /** @throws StillpointError `storage_unreachable` when there is no such bucket, or as the storage contract says */
  async requireBucket({ signal }: CallOptions = {}): Promise<void> {
    const { bucket: Bucket } = this.address;
    await this.attempt("use the bucket", signal, async () => {
      try {
        await this.requests.send(signal, async (s3, options) => await s3.headBucket({ Bucket }, options));
      } catch (error) {
        throw factsOf(error).status === 404 ? this.#noBucket() : error;
      }
    });
  }

  /** For an answer that isn't what S3 answers. */
  strange(action: string, has: string): StillpointError {
    return new StillpointError("storage_failed", {
      what: `Cannot ${action} in ${this.address.location}: the store's answer has ${has}`,
      safe: "Nothing was changed.",
      next: "See whether the endpoint is an S3 store.",
    });
  }

  /** An answer to HEAD has no body that could say what it is that isn't there: the object, or the whole bucket. */
  async #whyMissing(name: string, error: unknown): Promise<unknown> {
    const { name: code, status } = factsOf(error);
    if (status !== 404 || code === "NoSuchBucket" || code === "NoSuchUpload") return error;
    if (code !== "NoSuchKey" && code !== "NoSuchVersion") await this.requireBucket();
    return new StillpointError("object_missing", {
      what: `Cannot find ${name} in ${this.address.location}: there is no such object`,
    });
  }

  /** Nor could it say what is wrong with the access key. */
  async #whyDenied(object: S3Object, signal: AbortSignal | undefined, error: unknown): Promise<unknown> {
    const { name: code, status } = factsOf(error);
    if (status !== 403 || code !== "Unknown") return error;
    const first = { ...object, Range: "bytes=0-0" };
    return await this.requests
      .send(signal, async (s3, options) => (await s3.getObject(first, options)).Body?.transformToByteArray())
      .then(
        () => error,
        (reason: unknown) => reason,
      );
  }

  #noBucket(): StillpointError {
    const { location, bucket, endpoint = "AWS S3" } = this.address;
    return new StillpointError("storage_unreachable", {
      what: `Cannot use the storage ${location}: there is no bucket ${bucket} at ${endpoint}`,
      safe: "Nothing was made anew in its place.",
      next: "Make the bucket, or see that its name, the endpoint and the access key belong together.",
    });
  }
}
