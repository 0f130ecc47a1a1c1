/** What a configuration from another machine asks for, and this machine doesn't have. */
import * as path from "node:path";
import type { Config, Source } from "../policy/config.ts";
import { namedSecrets } from "../policy/named-secrets.ts";
import { isThere } from "./make-file.ts";

export interface LeftToDo {
  /** `machine`: a source too, whose socket `place` is. */
  readonly what: "file" | "credential" | "replica" | "source" | "machine" | "program";
  /** The setting, or the name of the source or replica, that asks for it. */
  readonly name: string;
  /** A path, or the name of a credential. */
  readonly place: string;
  /** Of a source: the folder that it is to be in, where that is missing too. */
  readonly folder?: string;
}

/** In the order of the configuration. Of systemd's credentials all are named: a command can't see which the service gets. */
export async function leftToDo(config: Config): Promise<LeftToDo[]> {
  const wanted: LeftToDo[] = [
    ...namedSecrets(config.file).map(({ kind, setting, name }) => ({ what: kind, name: setting, place: name })),
    ...config.replicas.flatMap(({ name, place }): LeftToDo[] =>
      place.kind === "fs" ? [{ what: "replica", name, place: path.dirname(place.path) }] : [],
    ),
    ...config.sources.flatMap(neededBy),
  ];
  const missing = await Promise.all(
    wanted.map(async ({ what, place }) => what === "credential" || !(await isThere(place))),
  );
  return await Promise.all(wanted.filter((_, number) => missing[number]).map(withFolder));
}

async function withFolder(one: LeftToDo): Promise<LeftToDo> {
  const folder = path.dirname(one.place);
  return one.what !== "source" || (await isThere(folder)) ? one : { ...one, folder };
}

function neededBy(source: Source): LeftToDo[] {
  const { name, hooks } = source;
  const runs = [hooks.before, hooks.after, hooks.always].flatMap((hook) => (hook === undefined ? [] : [hook.run]));
  if (source.kind === "command") runs.push(source.run);
  const programs = runs.flatMap(([program = ""]) => (path.isAbsolute(program) ? [program] : []));
  return [...placeOf(source), ...programs.map((one): LeftToDo => ({ what: "program", name, place: one }))];
}

function placeOf(source: Source): LeftToDo[] {
  const { name, kind } = source;
  if (kind === "command") return [];
  return [kind === "vm" ? { what: "machine", name, place: source.qmp } : { what: "source", name, place: source.path }];
}
