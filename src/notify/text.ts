/**
 * Text from outside, made to be read as what it is. Reasons, tickets, parameters and claims are written by whoever asks:
 * nothing in them may look like the broker's own words.
 */

// Control and format characters, halves of surrogate pairs, line separators, and letters that show as nothing.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\u115f\u1160\u2800\u3164\uffa0]/gu;

/** The text on one line, with every character shown that would not be seen: no line of its own, no reversed reading. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

const MRKDWN: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '`': '\u02cb' };

/**
 * Text as Slack shows it in a code span, where nothing but these means anything: `<` would begin a link or a mention
 * (https://docs.slack.dev/messaging/formatting-message-text), and a backtick ends the span. Cut where it is longer.
 */
export function codeSpan(text: string, maxChars: number): { readonly text: string; readonly whole: boolean } {
  let escaped = '';
  for (const character of visible(text)) {
    const piece = MRKDWN[character] ?? character;
    if (escaped.length + piece.length > maxChars) return { text: `\`${escaped}…\``, whole: false };
    escaped += piece;
  }
  return { text: escaped === '' ? '-' : `\`${escaped}\``, whole: true };
}

const HTML: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => HTML[character] ?? '');
}
