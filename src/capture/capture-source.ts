/** A capture from end to end: hooks, the source's own way of capturing, durable data, and last the commit. */
import { stat } from "node:fs/promises";
import type { StillpointError } from "../errors.ts";
import { commitPoint } from "../repository/points/catalog.ts";
import type { ExecutorFactory } from "../repository/threads/executor.ts";
import type { Consistency, RecoveryPoint } from "../repository/points/manifest.ts";
import type { Repository } from "../repository/repository.ts";
import { WriteSession } from "../repository/blobs/write-session.ts";
import type { CaptureContext, Captured, Progress } from "./capture.ts";
import { captureCommand, type CommandSource } from "./command/capture-command.ts";
import { captureDirectory, type DirectorySource } from "./directory/capture-directory.ts";
import { areQuiescing, type Hooks, withHooks } from "./hooks.ts";
import {
  describeCapture,
  type EarlierPoint,
  isReliable,
  newestOf,
  refuseOld,
  type Relying,
} from "./describe-capture.ts";
import { captureImage, type ImageSource } from "./image/capture-image.ts";
import { captureVm } from "./vm/capture-vm.ts";
import { withMended } from "./vm/trouble.ts";
import type { VmSource } from "./vm/vm-source.ts";

/** A source as a policy names it. */
export type CaptureSource = { readonly name: string; readonly hooks?: Hooks | undefined } & (
  | ({ readonly kind: "directory" } & DirectorySource)
  | ({ readonly kind: "image" } & ImageSource)
  | ({ readonly kind: "command" } & CommandSource)
  | ({ readonly kind: "vm" } & VmSource)
);

export interface CaptureOptions extends Relying {
  readonly repository: Repository;
  readonly executor: ExecutorFactory;
  readonly source: CaptureSource;
  readonly policy: string;
  /** The name of this host. */
  readonly host: string;
  readonly tags?: readonly string[] | undefined;
  /** The repository's points, of this source and others. */
  readonly points: readonly EarlierPoint[];
  /** Of Stillpoint. */
  readonly version: string;
  readonly progress?: ((progress: Progress) => void) | undefined;
}

export interface CaptureReport {
  readonly point: RecoveryPoint;
  /** In ms. */
  readonly duration: number;
  /** Folders of a `directory` in which something kept changing; then the consistency is `none`. */
  readonly unsettled: number;
  /** What failed after the instant, such as hooks: the point is good, the source may be stopped or frozen still. */
  readonly problems: readonly StillpointError[];
  /** See `Captured`. */
  readonly mended?: readonly string[] | undefined;
}

/**
 * Captures a source and commits the recovery point. The source is only read. When it throws, nothing was committed; what was
 * stored is found again by the next capture.
 *
 * Throws `hook_failed`, `source_missing`, `source_denied`, `source_changed`, `command_failed`, `vm_unreachable`,
 * `vm_refused`, `vm_failed`, `stream_invalid`, `capture_too_old`, `cancelled`,
 * or a storage error. When a hook fails after the instant and the capture fails too, `onProblem` is where the hook's failure is heard.
 */
export async function captureSource(
  options: CaptureOptions,
  onProblem: (problem: StillpointError) => void = () => undefined,
): Promise<CaptureReport> {
  const { repository, store, source, policy, signal } = options;
  const { clock } = repository;
  const started = { wall: clock.now(), monotonic: clock.monotonic() };
  const previous = newestOf(options.points, source.name);
  const problems: StillpointError[] = [];
  const report = (problem: StillpointError): void => {
    problems.push(problem);
    onProblem(problem);
  };
  const session = new WriteSession(store, options.executor, signal);
  let captured: Captured | undefined;
  let point: RecoveryPoint | undefined;
  try {
    const context: CaptureContext = {
      session,
      clock,
      signal,
      reader: store.reader,
      previous: previous !== undefined && isReliable(store, previous) ? previous : undefined,
      progress: options.progress ?? (() => undefined),
    };
    const environment = { source: source.name, policy, signal, onProblem: report };
    captured = await withHooks(source.hooks, environment, async () => await dispatch(context, source));
    captured.problems?.forEach(report);
    const written = await session.finish();
    const manifest = describeCapture(options, captured, written, {
      source: { name: source.name, kind: source.kind, tags: options.tags ?? [] },
      consistency: await consistencyOf(source, captured),
      started: started.wall,
      previous: previous?.digest ?? null,
    });
    await refuseOld(source.name, options);
    point = await commitPoint(repository, manifest, { signal });
  } catch (error) {
    throw withMended(error, captured?.mended ?? []);
  } finally {
    (await captured?.settle?.(point !== undefined))?.forEach(report);
    await session.close();
  }
  const duration = clock.monotonic() - started.monotonic;
  return { point, duration, unsettled: captured.unsettled ?? 0, problems, mended: captured.mended };
}

async function dispatch(context: CaptureContext, source: CaptureSource): Promise<Captured> {
  switch (source.kind) {
    case "directory":
      return await captureDirectory(context, source);
    case "image":
      return await captureImage(context, source);
    case "command":
      return await captureCommand(context, source);
    case "vm":
      return await captureVm(context, source);
  }
}

/**
 * Hooks that stop the source and let it go raise `crash` to `application`. They also speak for a block device, which can't tell
 * whether it was written to; but not against what was seen to change.
 */
async function consistencyOf(source: CaptureSource, captured: Captured): Promise<Consistency> {
  if (!areQuiescing(source.hooks)) return captured.consistency;
  const quiet =
    captured.consistency === "crash" || (source.kind === "image" && (await stat(source.path)).isBlockDevice());
  return quiet ? "application" : captured.consistency;
}
