/** Every verb: what it is for, and where its code is. Loaded when it is used, and not before. */
import type { DefineVerb } from "./cli.ts";

export interface Verb {
  readonly name: string;
  readonly summary: string;
  load(): Promise<{ readonly define: DefineVerb }>;
}

/** By what they are for, as `--help` lists them. */
export const verbGroups: Readonly<Record<string, readonly Verb[]>> = {
  "Protect:": [
    verb("init", "make a configuration, a key, a repository and its replicas", () => import("./init.ts")),
    verb("daemon", "run the policies on their schedules", () => import("./daemon.ts")),
    verb("status", "how old the newest recovery points are, and what went wrong", () => import("./status.ts")),
    verb("run", "capture, replicate and prune now, as a policy says", () => import("./run.ts")),
    verb("replicate", "send the replicas what they lack", () => import("./replicate.ts")),
    verb("notify", "try whether notifications get through", () => import("./notify.ts")),
    verb("config", "check the configuration, see what another would change", () => import("./config.ts")),
  ],
  "Look and recover:": [
    verb("list", "list recovery points", () => import("./list.ts")),
    verb("show", "show all that is known of a recovery point", () => import("./show.ts")),
    verb("ls", "list what is in a recovery point", () => import("./ls.ts")),
    verb("cat", "print a file of a recovery point", () => import("./cat.ts")),
    verb("diff", "compare two recovery points", () => import("./diff.ts")),
    verb(
      "restore",
      "bring back files, an image, a command's output or a virtual machine",
      () => import("./restore.ts"),
    ),
    verb(
      "recover",
      "rebuild the repository and the configuration of a lost host from a replica",
      () => import("./recover.ts"),
    ),
    verb("serve", "serve the disks of a recovery point by NBD", () => import("./serve.ts")),
    verb("boot", "run a virtual machine again from a recovery point", () => import("./boot.ts")),
  ],
  "Keep and forget:": [
    verb("prune", "forget what no rule keeps", () => import("./prune.ts")),
    verb("hold", "keep a recovery point whatever the rules say", () => import("./hold.ts")),
    verb("release", "end a hold", () => import("./release.ts")),
    verb("tag", "add tags to a recovery point, or remove them", () => import("./tag.ts")),
    verb("forget", "delete recovery points", () => import("./forget.ts")),
    verb("retention", "try keep rules on a list of points", () => import("./retention.ts")),
  ],
  "Maintain:": [
    verb("check", "look for damage", () => import("./check.ts")),
    verb("repair", "mend damage, from other locations where they have it whole", () => import("./repair.ts")),
    verb("rescue", "let a virtual machine go on that a failed capture has stopped", () => import("./rescue.ts")),
    verb("sweep", "free the space that no recovery point needs", () => import("./sweep.ts")),
    verb("key", "list, add and remove the repository's keys, print them for a safe", () => import("./key.ts")),
  ],
};

function verb(name: string, summary: string, load: Verb["load"]): Verb {
  return { name, summary, load };
}
