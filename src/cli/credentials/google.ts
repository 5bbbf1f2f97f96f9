import type { Secret } from '../../http/contract.ts';
import type { Delivery } from './delivery.ts';

/**
 * For gcloud, Terraform and whatever takes an access token as it is. The token is in a file too, which the environment
 * of the process does not show: `CLOUDSDK_AUTH_ACCESS_TOKEN_FILE` is gcloud's name for it.
 */
export function deliverGoogle(secret: Secret, place: (ending: string) => string): Delivery {
  const { access_token: access, id_token: identity, project } = secret.values;
  const file = place('token');
  const idFile = place('id-token');
  return {
    env: {
      ...(access === undefined
        ? {}
        : { CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: file, GOOGLE_OAUTH_ACCESS_TOKEN: access }),
      ...(identity === undefined ? {} : { HALLPASS_GOOGLE_ID_TOKEN_FILE: idFile }),
      ...(project === undefined ? {} : { CLOUDSDK_CORE_PROJECT: project, GOOGLE_CLOUD_PROJECT: project }),
    },
    files: {
      ...(access === undefined ? {} : { [file]: access }),
      ...(identity === undefined ? {} : { [idFile]: identity }),
    },
    overriding: [
      'CLOUDSDK_AUTH_ACCESS_TOKEN',
      'CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE',
      'GOOGLE_CREDENTIALS',
    ],
    suspicious: ['GOOGLE_APPLICATION_CREDENTIALS', 'GCLOUD_KEYFILE_JSON'],
  };
}
