/** What tests do with a real S3 store, whichever it is. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3Address } from "../../src/storage/storage.ts";

export abstract class S3Store {
  /** Everything of the store; gone when it stops. */
  readonly folder: string;
  abstract readonly accessKey: string;
  readonly secretKey = "secret-of-the-stillpoint-tests";
  endpoint = "";

  constructor(name: string) {
    this.folder = mkdtempSync(join(tmpdir(), `stillpoint-${name}-`));
  }

  /** A client as an administrator has it, or another user. */
  client(accessKeyId = this.accessKey): S3Client {
    return new S3Client({
      endpoint: this.endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey: this.secretKey },
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
  }

  async makeBucket(Bucket: string, kind: "plain" | "versions" | "locks" = "plain"): Promise<void> {
    const client = this.client();
    await client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: kind === "locks" }));
    if (kind === "versions") {
      const VersioningConfiguration = { Status: "Enabled" } as const;
      await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
    }
    client.destroy();
  }

  /** A file with the access key, as `credentials_file` names it. */
  writeCredentials(file = join(this.folder, "credentials"), accessKey = this.accessKey): string {
    const lines = `aws_access_key_id = ${accessKey}\naws_secret_access_key = ${this.secretKey}\n`;
    writeFileSync(file, `[default]\n${lines}`, { mode: 0o600 });
    return file;
  }

  /** A place in a bucket. `prefix` ends in `/`. */
  address(bucket: string, prefix: string): S3Address {
    return {
      kind: "s3",
      location: "far",
      endpoint: this.endpoint,
      region: "us-east-1",
      bucket,
      prefix,
      pathStyle: true,
      caFile: undefined,
      credentials: { kind: "file", path: this.writeCredentials() },
      objectLock: undefined,
    };
  }

  async stop(): Promise<void> {
    await this.end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Ends the store's processes. */
  protected abstract end(): Promise<void>;
}
