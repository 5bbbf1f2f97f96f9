import { z } from 'zod';
import type { Json } from '../json.ts';
import { duration } from './duration.ts';
import {
  HEARTBEAT_SECONDS,
  MAX_CAP_SECONDS,
  MAX_CREDENTIALS,
  MAX_ENUM,
  MAX_LIMIT,
  MAX_PARAMETER_LENGTH,
  MAX_PARAMETERS,
  MAX_PATTERNS,
  MAX_REVIEW_SECONDS,
  MAX_TASK_GRANT_SECONDS,
  MAX_TASK_GRANT_USES,
} from './limits.ts';

/** How a grant is written. What a schema cannot say is said where it is read: pattern.ts, principal.ts, parse.ts. */

/** A name in the configuration: of a grant, an issuer, a target, a credential. */
export const configName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, {
  error: 'write 1 to 100 letters, digits, ".", "_" and "-", beginning with a letter or digit',
});

const parameterName = z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, {
  error: 'write 1 to 63 of a-z, 0-9 and "_", beginning with a letter',
});

/** JSON whose form is checked later. A custom schema, so that the values arrive as they are. */
const json = (typeName: string) => z.custom<Json>((value) => value !== undefined).meta({ typeName });

const description = z.string().max(1000).meta({ description: 'What it is for, for people' });

const party = {
  issuer: z.string().meta({ description: 'Name of an issuer' }),
  claims: z.record(z.string(), json('patterns')).optional().meta({
    description:
      'Claims that must all match, by name or path (`kubernetes.io/namespace`). A value means exactly this, with its type; `{ glob: "acme/*" }` a pattern; `{ contains: x }` a list with this entry; a list any of them',
  }),
};
const actor = {
  description: 'Who must act for it, by an actor token or as its own token states; when left out, nobody may',
};
/** Somebody alone: whom he acts for, or who acts for him, is not looked at. */
export const partyMatcher = z.strictObject(party);
const second = z.strictObject({ ...party, actor: partyMatcher.optional().meta(actor) });
const first = z.strictObject({ ...party, actor: second.optional().meta(actor) });

// As deep as MAX_ACTORS says.
export const principalMatcher = z.strictObject({ ...party, actor: first.optional().meta(actor) });

const globs = z.union([z.string(), z.array(z.string()).min(1).max(MAX_PATTERNS)]);

const parameter = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('string').meta({ description: 'What kind of value it takes' }),
    description: description.optional(),
    required: z
      .boolean()
      .optional()
      .meta({ description: 'Whether it must be given; true unless there is a default' }),
    default: z.string().optional().meta({ description: 'The value when none is given' }),
    enum: z
      .array(z.string())
      .min(1)
      .max(MAX_ENUM)
      .optional()
      .meta({ description: 'The values that are allowed' }),
    pattern: globs.optional().meta({ description: 'A glob that it must match, or a list of them' }),
    max_length: z.int().min(1).max(MAX_PARAMETER_LENGTH).optional().meta({ description: 'Characters' }),
  }),
  z.strictObject({
    type: z.literal('integer'),
    description: description.optional(),
    required: z.boolean().optional(),
    default: z.int().optional(),
    min: z.int().optional().meta({ description: 'The least' }),
    max: z.int().optional().meta({ description: 'The most' }),
  }),
  z.strictObject({
    type: z.literal('boolean'),
    description: description.optional(),
    required: z.boolean().optional(),
    default: z.boolean().optional(),
  }),
]);
export type RawParameter = z.output<typeof parameter>;

const lifetime = duration({ max: MAX_CAP_SECONDS });
export const credential = z.strictObject({
  target: z.string().meta({ description: 'Name of a target' }),
  ttl: z
    .strictObject({
      default: lifetime.optional().meta({ description: 'When the request names none; `max` when left out' }),
      max: lifetime.meta({ description: 'The most that a request may name' }),
      cap: lifetime.optional().meta({
        description:
          'How long renewals may carry it from its issue, in all; `max` when left out: no renewal beyond it',
      }),
    })
    .meta({ description: 'How long it lives' }),
  scope: json('scope').meta({
    description:
      'What it may do, as its provider has it. Strings may hold `{{ parameters.name }}`, `{{ task }}` and `{{ parameters.name | filter }}`',
  }),
});
export type RawCredential = z.output<typeof credential>;

const limit = z
  .int()
  .min(1, { error: 'Write 1 or more: to forbid everything, remove the grant' })
  .max(MAX_LIMIT);

export const grantSchema = z.strictObject({
  description: description.optional(),
  who: z
    .array(principalMatcher)
    .min(1)
    .max(MAX_PATTERNS)
    .meta({ description: 'Who may use it: any of these' }),
  tasks: json('patterns').meta({
    description:
      'Names of tasks: strings, or `{ glob: "backfill/*" }`. `**` alone needs a condition or limits',
  }),
  purpose: z
    .enum(['required', 'optional'])
    .default('optional')
    .meta({ description: 'Whether a request must say why' }),
  purpose_pattern: globs.optional().meta({
    description: 'A glob that the purpose must match as a whole, or a list of them: it is then required',
  }),
  ticket_pattern: globs.optional().meta({
    description:
      'A glob that the ticket must match as a whole, or a list of them: a request must then name one',
  }),
  parameters: z
    .record(parameterName, parameter)
    .refine((all) => Object.keys(all).length <= MAX_PARAMETERS, {
      error: `Too many: write at most ${MAX_PARAMETERS}`,
    })
    .optional()
    .meta({ description: 'What a request may set' }),
  conditions: z.array(z.string()).max(MAX_PATTERNS).optional().meta({
    description:
      'CEL expressions over `claims`, `issuer`, `subject`, `task`, `parameters`, `purpose`, `ticket`, `actor`, `actors` and `now` that must all be true',
  }),
  credentials: z
    .record(configName, credential)
    .refine((all) => Object.keys(all).length > 0, { error: 'Write at least one credential' })
    .refine((all) => Object.keys(all).length <= MAX_CREDENTIALS, {
      error: `Too many: write at most ${MAX_CREDENTIALS}`,
    })
    .meta({ description: 'What a task may get, by name' }),
  limits: z
    .strictObject({
      live_leases: limit.optional().meta({ description: 'Leases of this grant that may be live at once' }),
      issues_per_hour: limit
        .optional()
        .meta({ description: 'Leases of this grant that may be issued in any hour' }),
    })
    .optional()
    .meta({ description: 'How many leases there may be' }),
  heartbeat: duration(HEARTBEAT_SECONDS)
    .optional()
    .meta({ description: 'A task that is silent for longer loses its credentials' }),
  approval: z
    .strictObject({
      stages: z
        .array(
          z.strictObject({
            from: z
              .array(principalMatcher)
              .min(1)
              .max(MAX_PATTERNS)
              .meta({ description: 'Who may approve: any of these' }),
            approvals: z
              .int()
              .min(1, { error: 'Write 1 or more: to need nobody, leave the stage out' })
              .max(10)
              .default(1)
              .meta({ description: 'How many of them must' }),
            when: z.string().optional().meta({
              description:
                'CEL expression, as in `conditions`: the stage is left out where it is false. One that fails to evaluate demands the stage',
            }),
          }),
        )
        .min(1, { error: 'Write at least one stage: to need nobody, remove approval' })
        .max(5)
        .meta({ description: 'One after another, and nobody counts twice' }),
      auto_approve: z.array(z.string()).min(1).max(MAX_PATTERNS).optional().meta({
        description:
          'CEL expressions, as in `conditions`: where any is true, nobody is asked but the stages with a `when` that demand it',
      }),
      lapse: duration({ max: 604_800 })
        .prefault('1h')
        .meta({ description: 'What waits or was approved lapses after this' }),
    })
    .optional()
    .meta({ description: 'Whose approval a task needs before it is opened. It must then say why' }),
  break_glass: z
    .strictObject({
      review: z
        .strictObject({
          by: z
            .array(principalMatcher)
            .min(1)
            .max(MAX_PATTERNS)
            .meta({ description: 'Who may close reviews: any of these, and never the person himself' }),
          due: duration({ max: MAX_REVIEW_SECONDS }).prefault('1d').meta({
            description:
              'After its task can have ended at the latest. From then on the person cannot use it again until somebody else has closed the review',
          }),
        })
        .meta({ description: 'The review of each use' }),
      dangerously_without_approval: z
        .literal(true)
        .optional()
        .meta({ description: 'Nobody is asked before: in place of `approval`' }),
    })
    .optional()
    .meta({
      description: 'For emergencies: for named people, for an hour at most, told at once and reviewed',
    }),
  task_grants: z
    .strictObject({
      max_age: duration({ max: MAX_TASK_GRANT_SECONDS }).meta({
        description: 'How long a task grant may be usable',
      }),
      max_uses: z.int().min(1).max(MAX_TASK_GRANT_USES).meta({ description: 'How often' }),
    })
    .optional()
    .meta({ description: 'Lets orchestrators cut task grants from it' }),
});
export type RawGrant = z.output<typeof grantSchema>;
