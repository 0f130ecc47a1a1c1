/** AWS's client with the calls that are made here. All hundred of them take twice as long to load. */
import {
  AbortMultipartUploadCommand,
  type AbortMultipartUploadCommandInput,
  CompleteMultipartUploadCommand,
  type CompleteMultipartUploadCommandInput,
  CopyObjectCommand,
  type CopyObjectCommandInput,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  DeleteObjectCommand,
  type DeleteObjectCommandInput,
  GetObjectCommand,
  type GetObjectCommandInput,
  GetObjectLockConfigurationCommand,
  type GetObjectLockConfigurationCommandInput,
  GetObjectRetentionCommand,
  type GetObjectRetentionCommandInput,
  HeadBucketCommand,
  type HeadBucketCommandInput,
  HeadObjectCommand,
  type HeadObjectCommandInput,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandInput,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandInput,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  PutObjectCommand,
  type PutObjectCommandInput,
  PutObjectRetentionCommand,
  type PutObjectRetentionCommandInput,
  UploadPartCommand,
  type UploadPartCommandInput,
  S3Client,
} from "@aws-sdk/client-s3";

/** What goes with each call. */
export interface SendOptions {
  readonly abortSignal?: AbortSignal;
}

export class S3 extends S3Client {
  async abortMultipartUpload(input: AbortMultipartUploadCommandInput, options: SendOptions) {
    return await this.send(new AbortMultipartUploadCommand(input), options);
  }

  async completeMultipartUpload(input: CompleteMultipartUploadCommandInput, options: SendOptions) {
    return await this.send(new CompleteMultipartUploadCommand(input), options);
  }

  async copyObject(input: CopyObjectCommandInput, options: SendOptions) {
    return await this.send(new CopyObjectCommand(input), options);
  }

  async createMultipartUpload(input: CreateMultipartUploadCommandInput, options: SendOptions) {
    return await this.send(new CreateMultipartUploadCommand(input), options);
  }

  async deleteObject(input: DeleteObjectCommandInput, options: SendOptions) {
    return await this.send(new DeleteObjectCommand(input), options);
  }

  async getObject(input: GetObjectCommandInput, options: SendOptions) {
    return await this.send(new GetObjectCommand(input), options);
  }

  async getObjectLockConfiguration(input: GetObjectLockConfigurationCommandInput, options: SendOptions) {
    return await this.send(new GetObjectLockConfigurationCommand(input), options);
  }

  async getObjectRetention(input: GetObjectRetentionCommandInput, options: SendOptions) {
    return await this.send(new GetObjectRetentionCommand(input), options);
  }

  async headBucket(input: HeadBucketCommandInput, options: SendOptions) {
    return await this.send(new HeadBucketCommand(input), options);
  }

  async headObject(input: HeadObjectCommandInput, options: SendOptions) {
    return await this.send(new HeadObjectCommand(input), options);
  }

  async listMultipartUploads(input: ListMultipartUploadsCommandInput, options: SendOptions) {
    return await this.send(new ListMultipartUploadsCommand(input), options);
  }

  async listObjectVersions(input: ListObjectVersionsCommandInput, options: SendOptions) {
    return await this.send(new ListObjectVersionsCommand(input), options);
  }

  async listObjectsV2(input: ListObjectsV2CommandInput, options: SendOptions) {
    return await this.send(new ListObjectsV2Command(input), options);
  }

  async putObject(input: PutObjectCommandInput, options: SendOptions) {
    return await this.send(new PutObjectCommand(input), options);
  }

  async putObjectRetention(input: PutObjectRetentionCommandInput, options: SendOptions) {
    return await this.send(new PutObjectRetentionCommand(input), options);
  }

  async uploadPart(input: UploadPartCommandInput, options: SendOptions) {
    return await this.send(new UploadPartCommand(input), options);
  }
}
