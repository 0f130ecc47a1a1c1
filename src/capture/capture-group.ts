/** Several virtual machines captured at one instant: their points are committed together, or none is. */
import { isStillpointError, StillpointError, toError } from "../errors.ts";
import { randomBytes } from "../host/random.ts";
import type { WriteStatistics } from "../repository/blobs/blob-writer.ts";
import { WriteSession } from "../repository/blobs/write-session.ts";
import { commitPoint, forgetPoint } from "../repository/points/catalog.ts";
import type { Manifest, RecoveryPoint } from "../repository/points/manifest.ts";
import type { ExecutorFactory } from "../repository/threads/executor.ts";
import type { CaptureReport } from "./capture-source.ts";
import type { Captured, Progress } from "./capture.ts";
import {
  describeCapture,
  type EarlierPoint,
  isReliable,
  newestOf,
  refuseOld,
  type Relying,
  type Surroundings,
} from "./describe-capture.ts";
import { type Hooks, withHooks } from "./hooks.ts";
import { inOneInstant } from "./vm/in-one-instant.ts";
import { withMended, withProblems } from "./vm/trouble.ts";
import { prepareVm } from "./vm/prepare-vm.ts";
import type { PreparedVm } from "./vm/prepared-vm.ts";
import type { VmSource } from "./vm/vm-source.ts";

/** A member of a group. */
export type GroupSource = VmSource & {
  readonly kind: "vm";
  readonly name: string;
  readonly hooks?: Hooks | undefined;
  readonly tags?: readonly string[] | undefined;
};

export interface GroupOptions extends Surroundings, Relying {
  readonly executor: ExecutorFactory;
  /** At least two. */
  readonly sources: readonly GroupSource[];
  /** Of all sources, at least their newest. */
  readonly points: readonly EarlierPoint[];
  /** Of all members together. */
  readonly progress?: ((progress: Progress) => void) | undefined;
}

interface Member {
  readonly source: GroupSource;
  readonly previous: EarlierPoint | undefined;
  readonly problems: StillpointError[];
  mended?: readonly string[] | undefined;
}

/** What a member has come to, before it is committed. */
interface Collected {
  readonly member: Member;
  readonly captured: Captured;
  readonly written: WriteStatistics;
}

/**
 * Captures all sources at one instant and commits their recovery points, in the order of the sources. When it throws, none is
 * committed, and all guests go on.
 *
 * Throws as `captureSource` does; the message names the source that failed.
 */
export async function captureGroup(options: GroupOptions): Promise<CaptureReport[]> {
  const { repository, sources, points } = options;
  const { clock } = repository;
  const started = { wall: clock.now(), monotonic: clock.monotonic() };
  const members = sources.map((source): Member => ({ source, previous: newestOf(points, source.name), problems: [] }));
  const committed = await betweenHooks(options, members, async () => {
    const prepared = await prepareAll(options, members);
    let done: readonly RecoveryPoint[] | undefined;
    let failure: unknown;
    try {
      await inOneInstant(prepared);
      const collected = await collectAll(options, members, prepared);
      for (const { name } of sources) await refuseOld(name, options);
      done = await commitAll(options, describeAll(options, collected, started.wall));
    } catch (error) {
      failure = error;
    }
    const problems = await Promise.all(prepared.map(async (one) => await one.close(done !== undefined)));
    if (done === undefined) throw withMended(withProblems(failure, problems.flat()), mendedOf(prepared));
    for (const [number, member] of members.entries()) member.problems.push(...(problems[number] ?? []));
    return done;
  });
  const duration = clock.monotonic() - started.monotonic;
  return committed.map((point, number) => ({
    point,
    duration,
    unsettled: 0,
    problems: members[number]?.problems ?? [],
    mended: members[number]?.mended,
  }));
}

/** The hooks of all members around `work`: those of the first outermost. */
async function betweenHooks<T>(
  { policy, signal }: Pick<GroupOptions, "policy" | "signal">,
  [member, ...others]: readonly Member[],
  work: () => Promise<T>,
): Promise<T> {
  if (member === undefined) return await work();
  const onProblem = (problem: StillpointError): void => void member.problems.push(problem);
  const environment = { source: member.source.name, policy, signal, onProblem };
  return await withHooks(
    member.source.hooks,
    environment,
    async () => await betweenHooks({ policy, signal }, others, work),
  );
}

async function prepareAll(options: GroupOptions, members: readonly Member[]): Promise<PreparedVm[]> {
  const { repository, store, signal } = options;
  const prepared: PreparedVm[] = [];
  try {
    for (const { source, previous } of members) {
      const reliable = previous !== undefined && isReliable(store, previous) ? previous : undefined;
      const one = prepareVm({ clock: repository.clock, previous: reliable, signal }, source);
      prepared.push(await naming(source, one));
    }
    return prepared;
  } catch (error) {
    const problems = await Promise.all(prepared.map(async (one) => await one.close(false)));
    throw withMended(withProblems(error, problems.flat()), mendedOf(prepared));
  }
}

function mendedOf(prepared: readonly PreparedVm[]): string[] {
  return prepared.flatMap(({ mended }) => mended);
}

/** One after the other: the threads of one are enough for the machine. */
async function collectAll(
  options: GroupOptions,
  members: readonly Member[],
  prepared: readonly PreparedVm[],
): Promise<Collected[]> {
  const collected: Collected[] = [];
  const done = members.map(() => 0);
  for (const [number, member] of members.entries()) {
    const progress = (bytes: number): void => {
      done[number] = bytes;
      options.progress?.({ done: done.reduce((sum, one) => sum + one, 0), total: undefined });
    };
    collected.push(await collectOne(options, member, prepared[number] as PreparedVm, progress));
  }
  return collected;
}

async function collectOne(
  { store, executor, repository, signal }: GroupOptions,
  member: Member,
  prepared: PreparedVm,
  progress: (done: number) => void,
): Promise<Collected> {
  const session = new WriteSession(store, executor, signal);
  try {
    const collecting = prepared.collect({
      session,
      signal,
      clock: repository.clock,
      reader: store.reader,
      previous: member.previous,
      progress: ({ done }) => progress(done),
    });
    const captured = await naming(member.source, collecting);
    member.problems.push(...(captured.problems ?? []));
    member.mended = captured.mended;
    return { member, captured, written: await session.finish() };
  } finally {
    await session.close();
  }
}

function describeAll(options: GroupOptions, collected: readonly Collected[], started: number): Manifest[] {
  const group = { id: randomBytes(16).toString("hex"), sources: options.sources.map(({ name }) => name) };
  return collected.map(({ member: { source, previous }, captured, written }) =>
    describeCapture(options, captured, written, {
      source: { name: source.name, kind: source.kind, tags: source.tags ?? [] },
      consistency: captured.consistency,
      started,
      previous: previous?.digest ?? null,
      group,
    }),
  );
}

/** Commits all; when one can't be, those before it are forgotten again. */
async function commitAll(
  { repository, signal }: GroupOptions,
  manifests: readonly Manifest[],
): Promise<RecoveryPoint[]> {
  const committed: RecoveryPoint[] = [];
  try {
    for (const manifest of manifests) committed.push(await commitPoint(repository, manifest, { signal }));
    return committed;
  } catch (error) {
    for (const point of committed) {
      const known = {
        tags: point.manifest.tags,
        hold: undefined,
        readUntil: 0,
        proof: undefined,
        received: repository.clock.now(),
      };
      // What can't be forgotten now either is seen to be alone by the names in its group.
      await forgetPoint(repository, { ...point, ...known }, "its group is incomplete").catch(() => undefined);
    }
    throw toError(error);
  }
}

/** An error says of which source it speaks. */
async function naming<T>({ name }: GroupSource, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isStillpointError(error)) throw error;
    throw new StillpointError(error.code, { ...error.parts, what: `${name}: ${error.parts.what}`, cause: error });
  }
}
