import { z } from 'zod';
import { err, ok, type Result } from '../../result.ts';
import type { Runtime } from '../../runtime.ts';
import type { Attestor, AttestorKind } from '../attestor.ts';
import { readChangingFile } from '../files.ts';
import { createSend } from '../jwt/fetch.ts';
import { httpUrlFault } from '../jwt/urls.ts';
import { createOidcAttestor } from '../oidc/attestor.ts';
import type { OidcSettings } from '../oidc/settings.ts';
import { type Preset, presetShape, resolvePreset, serverUrl } from './preset.ts';
import { createTokenReview } from './token-review.ts';

/** Where a kubelet puts what a pod needs to talk to its cluster. */
const POD = '/var/run/secrets/kubernetes.io/serviceaccount';

const settings = z
  .strictObject({
    type: z.literal('kubernetes'),
    ...presetShape,
    issuer: z
      .string()
      .min(1)
      .max(2_048)
      .default('https://kubernetes.default.svc.cluster.local')
      .describe('The issuer of the cluster: `kubectl get --raw /.well-known/openid-configuration`.'),
    api_server: serverUrl
      .optional()
      .describe("Fetch the keys from the cluster's API server, at this address, instead of by discovery."),
    in_cluster: z
      .literal(true)
      .optional()
      .describe('The broker runs in this cluster: api_server, ca_file and token_file are those of its pod.'),
    token_file: z
      .string()
      .regex(/^\//, { error: 'Cannot find a file again by a relative path: write it from / on' })
      .optional()
      .describe("The broker's own token for the API server; read anew for each call."),
    token_review: z
      .literal(true)
      .optional()
      .describe('Ask the API server about each token, so that the token of a deleted pod dies at once.'),
  })
  .transform((written) =>
    written.in_cluster === undefined
      ? written
      : {
          ...written,
          api_server: written.api_server ?? 'https://kubernetes.default.svc',
          ca_file:
            written.ca_file ??
            (written.jwks_file !== undefined && !written.token_review ? undefined : `${POD}/ca.crt`),
          token_file: written.token_file ?? `${POD}/token`,
        },
  )
  .superRefine((written, context) => {
    const report = (key: string, message: string | null): void => {
      if (message) context.addIssue({ code: 'custom', path: [key], message });
    };
    if (written.api_server !== undefined)
      report('api_server', httpUrlFault(written.api_server, written.allow_insecure_http));
    if (written.token_review && (written.api_server === undefined || written.token_file === undefined))
      report('token_review', 'Cannot ask nobody: write api_server and token_file, or in_cluster: true');
  });

type Written = z.output<typeof settings>;

const preset: Preset<Written> = {
  type: 'kubernetes',
  settings: settings as z.ZodType<Written>,
  algorithms: ['RS256', 'ES256'],
  requiredClaims: ['kubernetes.io'],
  rules: {
    pins: [
      {
        anyOf: [
          ['sub'],
          ['kubernetes.io/namespace', 'kubernetes.io/serviceaccount/name'],
          ['kubernetes.io/serviceaccount/uid'],
        ],
        because: 'every pod of the cluster, or of the namespace, has such a token',
      },
    ],
    beside: [],
    never: [],
    forms: [
      {
        claim: 'sub',
        pattern: /^system:serviceaccount:[^:]+:[^:]+$/,
        because: 'write system:serviceaccount:NAMESPACE:NAME',
      },
    ],
    unreliable: { 'kubernetes.io/pod/name': 'whoever may make pods chooses it; write the service account' },
    strings: [],
  },
  issuer: ({ issuer }) => issuer,
  keysUri: ({ api_server }) => (api_server === undefined ? undefined : `${api_server}/openid/v1/jwks`),
};

interface KubernetesSettings extends OidcSettings {
  /** Where and how each token is reviewed; absent: it is not. */
  readonly review?: { readonly url: string; readonly ca?: string; readonly authorization: Authorization };
}

type Authorization = () => Promise<Result<string, string>>;

/** Projected service account tokens of a Kubernetes cluster: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ */
export const attestorKind: AttestorKind<Written, KubernetesSettings> = {
  type: 'kubernetes',
  settings: preset.settings,
  fileSettings: ['jwks_file', 'ca_file'],
  resolve(written, files) {
    // Pinned keys need no CA; a review does, and the keys' own settings refuse what they do not use.
    const { ca_file, ...withoutCa } = written;
    const keysOf = written.jwks_file === undefined ? written : (withoutCa as Written);
    const resolved = resolvePreset(preset, keysOf, files);
    if (!resolved.ok) return resolved;
    if (written.jwks_file !== undefined && ca_file !== undefined && !written.token_review)
      return err([
        { setting: 'ca_file', message: 'Cannot be set beside jwks_file: nothing is fetched then' },
      ]);
    const { api_server, token_file } = written;
    const authorization = token_file === undefined ? undefined : bearerFrom(token_file);
    return ok({
      ...resolved.value,
      ...(authorization && api_server !== undefined && { authorization }),
      ...(authorization &&
        api_server !== undefined &&
        written.token_review && {
          review: {
            url: `${api_server}/apis/authentication.k8s.io/v1/tokenreviews`,
            authorization,
            ...(files.ca_file !== undefined && { ca: files.ca_file }),
          },
        }),
    });
  },
  describe: ({ issuer, keys }) => ({
    url: issuer,
    names: [issuer],
    rules: preset.rules,
    ...(keys.kind !== 'pinned' && { isFetched: true }),
  }),
  create: createKubernetesAttestor,
};

/** Attests by the token alone, or by the token and then the API server's word on it. */
function createKubernetesAttestor(name: string, settings: KubernetesSettings, runtime: Runtime): Attestor {
  const byToken = createOidcAttestor(name, settings, runtime);
  const { review } = settings;
  if (review === undefined) return byToken;
  const ask = createTokenReview(review, settings.audiences, createSend(runtime, review.ca), runtime);
  return {
    ...byToken,
    async attest(evidence, now, signal) {
      const verdict = await byToken.attest(evidence, now, signal);
      if (!verdict?.ok || evidence.kind !== 'bearer') return verdict;
      const refusal = await ask(evidence.token, verdict.value, signal);
      return refusal === null ? verdict : err({ ...refusal, issuer: name });
    },
  };
}

/** The token is rotated under our feet, so it is read anew each time. */
function bearerFrom(file: string): Authorization {
  return async () => {
    const read = await readChangingFile(file);
    if (!read.ok) return err(`the broker's own token in "${file}" is not there: ${read.error}`);
    const token = Buffer.from(read.value).toString('latin1').trim();
    return /^[\w.~+/=-]{1,16384}$/.test(token) ? ok(`Bearer ${token}`) : err(`"${file}" holds no token`);
  };
}
