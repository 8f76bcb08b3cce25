/** A service's certificate on the join secret of its kind. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  EnrollServiceRequest,
  EnrollServiceResponse,
} from '@gatehouse/proto/auth/v1/enrollment_service';

import type { Context, Deps } from '../deps.js';
import { enrollService } from '../enrollment/enroll-service.js';

export const callers: readonly CallerRule[] = ['anonymous', 'service'];

export async function handle(
  deps: Deps,
  request: EnrollServiceRequest,
  context: Context,
): Promise<EnrollServiceResponse> {
  const enrolled = await enrollService(deps, { ...request, clientAddress: context.clientAddress });
  return { ...enrolled, trust: deps.authorities.trust().bundle };
}
