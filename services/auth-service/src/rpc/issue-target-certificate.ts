/** A certificate for logging in upstream on a person's own signed proof. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  IssueTargetCertificateRequest,
  IssueTargetCertificateResponse,
} from '@gatehouse/proto/auth/v1/credential_service';

import { issueTargetCertificate } from '../certificates/target-certificates.js';
import type { Context, Deps } from '../deps.js';
import { requireService } from '../enrollment/require-service.js';

export const callers: readonly CallerRule[] = ['service/proxy'];

export async function handle(
  deps: Deps,
  request: IssueTargetCertificateRequest,
  context: Context,
): Promise<IssueTargetCertificateResponse> {
  const replicaId = await requireService(deps, context);
  const { certificate, signedData, signature, publicKey, renewLoginId, clientAddress, login } =
    request;
  const proof = renewLoginId === '' ? { certificate, signedData, signature } : { renewLoginId };
  const issued = await issueTargetCertificate(deps, {
    replicaId,
    publicKey,
    clientAddress,
    login,
    proof,
  });
  return { ...issued, logins: [...issued.logins] };
}
