/** What will happen: the next runs, and what pruning will forget. */
import type { DaemonStatus, PolicyStatus } from "../control-protocol.ts";
import { type Html, html } from "./html.ts";
import type { Picture } from "./sources.ts";
import { age, moment, until } from "./words.ts";

interface Run {
  readonly name: string;
  readonly time: number | undefined;
  readonly last?: PolicyStatus["lastJob"];
}

export function runsSection({ policies, maintenance, now }: DaemonStatus): Html {
  const runs: Run[] = [
    ...policies.map(({ policy, nextRun, lastJob }) => ({ name: policy, time: nextRun, last: lastJob })),
    { name: "sweep of all locations", time: maintenance.nextSweep },
    { name: "check of all locations", time: maintenance.nextCheck },
  ];
  const rows = runs
    .toSorted((a, b) => (a.time ?? Infinity) - (b.time ?? Infinity))
    .map(({ name, time, last }) => {
      const when =
        time === undefined
          ? html`<td colspan="2">when asked to</td>`
          : html`<td>${until(time, now)}</td><td>${moment(time)}</td>`;
      const before = last === undefined ? "" : `${last.outcome}, ${age(now - last.finished)} ago`;
      return html`<tr><th scope="row">${name}</th>${when}<td>${before}</td></tr>`;
    });
  return html`<section class="runs" aria-labelledby="runs">
    <h2 id="runs">Next runs</h2>
    ${table("runs", ["What", "When", "Time (UTC)", "Last run"], rows)}
  </section>`;
}

export function pruneSection({ history, status }: Picture): Html | undefined {
  if (history === undefined) return undefined;
  const rows = history.prunes
    .filter(({ remove }) => remove > 0)
    .map(({ policy, source, location, time, rules, remove, keep, oldest, givenUp, heldBack }) => {
      const [first] = oldest;
      const named = first && html`: <code>${first.id.slice(0, 8)}</code> of ${moment(first.time)}`;
      const others = remove === 1 ? "" : ` and ${remove - 1} more`;
      const lost =
        givenUp === 0 ? "" : `; ${givenUp} never reached a replica, the limit of \`unreplicated\` is reached`;
      return html`<tr>
        <th scope="row">${source} <small>${policy}</small></th>
        <td>${location}</td>
        <td>${heldBack ? html`<span class="tag warn">held back</span>` : until(time, status.now)}</td>
        <td>${remove} of ${remove + keep}${named}${others}</td>
        <td>no rule keeps ${remove === 1 ? "it" : "them"}: ${rules}${lost}${heldBack ? accept : undefined}</td>
      </tr>`;
    });
  const content =
    rows.length === 0
      ? html`<p class="quiet">Nothing: after the next captures, too, a rule keeps every recovery point.</p>`
      : table("prune", ["Source", "Location", "When", "Forgets", "Why"], rows);
  return html`<section class="prune" aria-labelledby="prune"><h2 id="prune">Pruning will forget</h2>${content}</section>`;
}

const accept = html`; the rules are new and would forget much at once: \`stillpoint config accept\` allows it`;

/** It may scroll sideways, so it can be reached by keyboard. `heading`: the id of what names it. */
function table(heading: string, titles: readonly string[], rows: readonly Html[]): Html {
  return html`<div class="wide" tabindex="0" role="group" aria-labelledby="${heading}"><table>
    <thead><tr>${titles.map((title) => html`<th scope="col">${title}</th>`)}</tr></thead>
    <tbody>${rows}</tbody>
  </table></div>`;
}
