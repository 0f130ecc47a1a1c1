/** AWS's client with the calls that are made here. All hundred of them take twice as long to load. */
import {
  AbortMultipartUploadCommand,
  type AbortMultipartUploadCommandInput,
  type AbortMultipartUploadCommandOutput,
  CompleteMultipartUploadCommand,
  type CompleteMultipartUploadCommandInput,
  type CompleteMultipartUploadCommandOutput,
  CopyObjectCommand,
  type CopyObjectCommandInput,
  type CopyObjectCommandOutput,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  type CreateMultipartUploadCommandOutput,
  DeleteObjectCommand,
  type DeleteObjectCommandInput,
  type DeleteObjectCommandOutput,
  GetObjectCommand,
  type GetObjectCommandInput,
  type GetObjectCommandOutput,
  GetObjectLockConfigurationCommand,
  type GetObjectLockConfigurationCommandInput,
  type GetObjectLockConfigurationCommandOutput,
  GetObjectRetentionCommand,
  type GetObjectRetentionCommandInput,
  type GetObjectRetentionCommandOutput,
  HeadBucketCommand,
  type HeadBucketCommandInput,
  type HeadBucketCommandOutput,
  HeadObjectCommand,
  type HeadObjectCommandInput,
  type HeadObjectCommandOutput,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandInput,
  type ListMultipartUploadsCommandOutput,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandInput,
  type ListObjectVersionsCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  type PutObjectCommandInput,
  type PutObjectCommandOutput,
  PutObjectRetentionCommand,
  type PutObjectRetentionCommandInput,
  type PutObjectRetentionCommandOutput,
  UploadPartCommand,
  type UploadPartCommandInput,
  type UploadPartCommandOutput,
  S3Client,
} from "@aws-sdk/client-s3";

/** What goes with each call. */
export interface SendOptions {
  readonly abortSignal?: AbortSignal;
}

export class S3 extends S3Client {
  async abortMultipartUpload(
    input: AbortMultipartUploadCommandInput,
    options: SendOptions,
  ): Promise<AbortMultipartUploadCommandOutput> {
    return await this.send(new AbortMultipartUploadCommand(input), options);
  }

  async completeMultipartUpload(
    input: CompleteMultipartUploadCommandInput,
    options: SendOptions,
  ): Promise<CompleteMultipartUploadCommandOutput> {
    return await this.send(new CompleteMultipartUploadCommand(input), options);
  }

  async copyObject(input: CopyObjectCommandInput, options: SendOptions): Promise<CopyObjectCommandOutput> {
    return await this.send(new CopyObjectCommand(input), options);
  }

  async createMultipartUpload(
    input: CreateMultipartUploadCommandInput,
    options: SendOptions,
  ): Promise<CreateMultipartUploadCommandOutput> {
    return await this.send(new CreateMultipartUploadCommand(input), options);
  }

  async deleteObject(input: DeleteObjectCommandInput, options: SendOptions): Promise<DeleteObjectCommandOutput> {
    return await this.send(new DeleteObjectCommand(input), options);
  }

  async getObject(input: GetObjectCommandInput, options: SendOptions): Promise<GetObjectCommandOutput> {
    return await this.send(new GetObjectCommand(input), options);
  }

  async getObjectLockConfiguration(
    input: GetObjectLockConfigurationCommandInput,
    options: SendOptions,
  ): Promise<GetObjectLockConfigurationCommandOutput> {
    return await this.send(new GetObjectLockConfigurationCommand(input), options);
  }

  async getObjectRetention(
    input: GetObjectRetentionCommandInput,
    options: SendOptions,
  ): Promise<GetObjectRetentionCommandOutput> {
    return await this.send(new GetObjectRetentionCommand(input), options);
  }

  async headBucket(input: HeadBucketCommandInput, options: SendOptions): Promise<HeadBucketCommandOutput> {
    return await this.send(new HeadBucketCommand(input), options);
  }

  async headObject(input: HeadObjectCommandInput, options: SendOptions): Promise<HeadObjectCommandOutput> {
    return await this.send(new HeadObjectCommand(input), options);
  }

  async listMultipartUploads(
    input: ListMultipartUploadsCommandInput,
    options: SendOptions,
  ): Promise<ListMultipartUploadsCommandOutput> {
    return await this.send(new ListMultipartUploadsCommand(input), options);
  }

  async listObjectVersions(
    input: ListObjectVersionsCommandInput,
    options: SendOptions,
  ): Promise<ListObjectVersionsCommandOutput> {
    return await this.send(new ListObjectVersionsCommand(input), options);
  }

  async listObjectsV2(input: ListObjectsV2CommandInput, options: SendOptions): Promise<ListObjectsV2CommandOutput> {
    return await this.send(new ListObjectsV2Command(input), options);
  }

  async putObject(input: PutObjectCommandInput, options: SendOptions): Promise<PutObjectCommandOutput> {
    return await this.send(new PutObjectCommand(input), options);
  }

  async putObjectRetention(
    input: PutObjectRetentionCommandInput,
    options: SendOptions,
  ): Promise<PutObjectRetentionCommandOutput> {
    return await this.send(new PutObjectRetentionCommand(input), options);
  }

  async uploadPart(input: UploadPartCommandInput, options: SendOptions): Promise<UploadPartCommandOutput> {
    return await this.send(new UploadPartCommand(input), options);
  }
}
