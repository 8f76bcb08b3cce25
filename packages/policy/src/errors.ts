/** What can be wrong with a role or a lock. */
import { createErrorFactory } from '@gatehouse/kit/errors';

/** The table. */
export const policyErrors = {
  POLICY_INVALID: { kind: 'invalid_argument', message: 'the {kind} is not valid: {problems}' },
} as const;

/** Makes an error of the table. */
export const policyError = createErrorFactory(policyErrors);
