import type { Fact, Notice } from '../notice.ts';
import { codeSpan } from '../text.ts';

/** Characters of one value, as escaped: Slack takes 3,000 in a section. */
const MAX_VALUE_CHARS = 2_000;
/** Of all values together: a click sends the whole message back, form-encoded, and that has to fit into a request. */
const MAX_CHARS = 6_000;
/** Slack takes 50 blocks. */
const MAX_FACTS = 40;

/** The names of what buttons do. */
export const APPROVE = 'hallpass_approve';
export const DENY = 'hallpass_deny';

/** A message with buttons while something waits, and with how it came out afterwards. */
export interface SlackMessage {
  readonly text: string;
  readonly blocks: readonly unknown[];
}

/**
 * What a channel in Slack shows of a notice. All that comes from outside stands in code spans, where Slack makes no link,
 * mention or format of it; `verbatim` and `parse` keep it from looking for these elsewhere. Nobody approves what he does
 * not see: where something was cut there is no button for it.
 */
export function slackMessage(
  notice: Notice,
  options: { readonly buttons: boolean; readonly outcome?: string },
): SlackMessage {
  const { title, link, decide } = notice;
  const { sections, whole } = sectionsOf(notice.facts);
  const cut = whole ? [] : [section('_Some of it is too long to be shown here._')];
  const outcome = options.outcome === undefined ? [] : [section(`*${options.outcome}*`)];
  // The link is ours: the broker's own URL and an id.
  const more = link === null ? [] : [section(`<${link}|Read the request>`)];
  const buttons = options.buttons && decide !== null ? [actions(decide, whole)] : [];
  const spoken = plain(title);
  return {
    text: spoken,
    blocks: [section(`*${spoken}*`), ...sections, ...cut, ...outcome, ...more, ...buttons],
  };
}

/** The members that keep Slack from reading more into a message than it says. */
export const UNREAD = { parse: 'none', link_names: false, unfurl_links: false, unfurl_media: false } as const;

function sectionsOf(facts: readonly Fact[]): { readonly sections: unknown[]; readonly whole: boolean } {
  let room = MAX_CHARS;
  let whole = facts.length <= MAX_FACTS;
  const sections = facts.slice(0, MAX_FACTS).map(([label, value]) => {
    const name = codeSpan(label, 200);
    const shown = codeSpan(value, Math.min(room, MAX_VALUE_CHARS));
    room = Math.max(0, room - name.text.length - shown.text.length);
    whole &&= shown.whole && name.whole;
    return section(`${isPlain(label) ? label : name.text}: ${shown.text}`);
  });
  return { sections, whole };
}

function actions({ request, digest }: { readonly request: string; readonly digest: string }, whole: boolean) {
  const button = (action_id: string, text: string, style: string) => ({
    type: 'button',
    action_id,
    text: { type: 'plain_text', text, emoji: false },
    style,
    value: `${request}.${digest}`,
  });
  const deny = button(DENY, 'Deny', 'danger');
  return { type: 'actions', elements: whole ? [button(APPROVE, 'Approve', 'primary'), deny] : [deny] };
}

function section(text: string) {
  return { type: 'section', text: { type: 'mrkdwn', text, verbatim: true } };
}

/** Labels and titles of our own, with names that the configuration has. */
function isPlain(text: string): boolean {
  return /^[\w .-]+$/.test(text) && !/[_*~]/.test(text);
}

function plain(text: string): string {
  return isPlain(text) ? text : codeSpan(text, 200).text;
}
