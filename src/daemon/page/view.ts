/** The page's content: an instrument to be read in seconds. Made here for the first sight, and in the browser from then on. */
import { count, formatBytes } from "../../cli/format.ts";
import type { DaemonStatus, History, WorkStatus } from "../control-protocol.ts";
import type { Failure } from "../failure-log.ts";
import { type Html, html } from "./html.ts";
import { locationsSection } from "./locations.ts";
import { pruneSection, runsSection } from "./plans.ts";
import { type Problem, problemsOf, type Verdict, verdictOf } from "./problems.ts";
import { type RangeName, scaleOf } from "./scale.ts";
import { sourcesSection } from "./sources.ts";
import { age, moment, nameOf, until } from "./words.ts";

export interface View {
  readonly status: DaemonStatus;
  /** Undefined until it was read for the first time. */
  readonly history: History | undefined;
  readonly range: RangeName;
}

/** For the title and the icon. */
export function headlineOf(status: DaemonStatus): Verdict {
  return verdictOf(status, problemsOf(status));
}

export function render({ status, history, range }: View): Html {
  const picture = { status, history, scale: scaleOf(range, status.now) };
  const problems = problemsOf(status);
  return html`
    ${banner(status, problems)}
    ${problemList(problems)}
    ${workSection(status)}
    ${sourcesSection(picture)}
    ${runsSection(status)}
    ${locationsSection(picture)}
    ${pruneSection(picture)}
    ${pastSection(status)}`;
}

const signs = { good: "M5 13l4 4 10-11", warn: "M12 5v9M12 18v1", bad: "M6 6l12 12M18 6L6 18" } as const;

function banner(status: DaemonStatus, problems: readonly Problem[]): Html {
  const { level, headline } = verdictOf(status, problems);
  const { points, locations, work, policies, now, notReady } = status;
  const oldest = Math.max(...points.flatMap(({ newest }) => (newest === undefined ? [] : [now - newest.time])));
  const here = locations.filter(({ reachable }) => reachable).length;
  const running = work.filter(({ started }) => started !== undefined).length;
  const next = policies.toSorted((a, b) => (a.nextRun ?? Infinity) - (b.nextRun ?? Infinity))[0];
  const facts = [
    ...(Number.isFinite(oldest) ? [`oldest age ${age(oldest)}`] : []),
    ...(locations.length > 1 ? [`${here} of ${locations.length} locations reachable`] : []),
    running === 0 ? "nothing runs" : `${running} running`,
    ...(next?.nextRun === undefined ? [] : [`next: ${next.policy} ${until(next.nextRun, now)}`]),
  ];
  const waiting = notReady.filter((sentence) => sentence.endsWith("looked at yet."));
  return html`<section class="verdict ${level}" aria-label="Verdict">
    <svg class="sign" viewBox="0 0 24 24" aria-hidden="true"><path d="${signs[level]}"/></svg>
    <div>
      <p class="headline" role="status">${headline}</p>
      <p class="facts">${facts.join(" · ")}</p>
      ${waiting.map((sentence) => html`<p class="facts">${sentence}</p>`)}
    </div>
  </section>`;
}

function problemList(problems: readonly Problem[]): Html | undefined {
  if (problems.length === 0) return undefined;
  const one = ({ level, kind, title, text }: Problem): Html => html`<li class="${level}">
    <p><span class="tag ${level}">${kind}</span> ${title}</p>
    ${text === undefined ? undefined : inFull(text, `${kind}: what was said`)}
  </li>`;
  return html`<section class="problems" aria-labelledby="problems">
    <h2 id="problems">Needs attention</h2>
    <ul>${problems.map(one)}</ul>
  </section>`;
}

/** It may scroll, so it can be reached by keyboard. */
function inFull(text: string, label: string): Html {
  return html`<pre tabindex="0" role="group" aria-label="${label}">${text}</pre>`;
}

function workSection({ work, now }: DaemonStatus): Html | undefined {
  if (work.length === 0) return undefined;
  const atWork = work.filter(({ started }) => started !== undefined);
  const waiting = work.filter(({ started }) => started === undefined).map(nameOf);
  return html`<section class="work" aria-labelledby="work">
    <h2 id="work">Running now</h2>
    <ul>${atWork.map((task) => taskOf(task, now))}</ul>
    ${waiting.length === 0 ? undefined : html`<p class="quiet">Waiting for their turn: ${waiting.join(", ")}</p>`}
  </section>`;
}

function taskOf(task: WorkStatus, now: number): Html {
  const { started = now, done, total, rate, timeLeft } = task;
  const share = done === undefined || total === undefined || total === 0 ? undefined : done / total;
  const value = share === undefined ? undefined : html`max="1000" value="${Math.floor(share * 1000)}"`;
  const how = [
    ...(done === undefined
      ? []
      : [`${formatBytes(done)}${share === undefined ? "" : ` of ${formatBytes(total ?? 0)}`}`]),
    ...(share === undefined ? [] : [`${Math.floor(share * 100)} %`]),
    ...(rate === undefined ? [] : [`${formatBytes(rate)}/s`]),
    ...(timeLeft === undefined ? [] : [`${age(timeLeft)} left`]),
    `for ${age(now - started)}`,
  ];
  return html`<li>
    <span class="name">${nameOf(task)}</span>
    <progress aria-label="${nameOf(task)}" ${value}></progress>
    <span class="how">${how.join(" · ")}</span>
  </li>`;
}

function pastSection({ failures, now }: DaemonStatus): Html | undefined {
  const past = failures.filter(({ over }) => over !== undefined);
  const [latest] = past;
  if (latest === undefined) return undefined;
  const one = (failure: Failure): Html => html`<li>
    <p>${nameOf(failure)} failed ${failure.count === 1 ? "once" : `${failure.count} times`}, last at ${moment(failure.last)} UTC;
      well again ${age(now - (failure.over ?? now))} ago</p>
    ${inFull(failure.errors.map(({ message }) => message).join("\n"), "what it said")}
  </li>`;
  return html`<section class="past" aria-labelledby="past">
    <h2 id="past">Failures that are over</h2>
    <details id="past-failures">
      <summary>${count(past.length, "failure")}, the last one ${age(now - latest.last)} ago</summary>
      <ul>${past.map(one)}</ul>
    </details>
  </section>`;
}
