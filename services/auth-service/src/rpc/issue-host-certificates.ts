/** Host certificates for target names, and for the port's own public names. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  IssueHostCertificatesRequest,
  IssueHostCertificatesResponse,
} from '@gatehouse/proto/auth/v1/credential_service';

import { issueHostCertificates } from '../certificates/host-certificates.js';
import type { Context, Deps } from '../deps.js';
import { requireService } from '../enrollment/require-service.js';

export const callers: readonly CallerRule[] = ['service/proxy'];

export async function handle(
  deps: Deps,
  request: IssueHostCertificatesRequest,
  context: Context,
): Promise<IssueHostCertificatesResponse> {
  await requireService(deps, context);
  return { certificates: await issueHostCertificates(deps, request) };
}
