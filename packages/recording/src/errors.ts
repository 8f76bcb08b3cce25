/** Errors of recordings. */
import { createErrorFactory } from '@gatehouse/kit/errors';

export const recordingErrors = {
  RECORDING_DAMAGED: { kind: 'internal', message: 'the recording is damaged: {why}' },
  RECORDING_OVERLOADED: { kind: 'resource_exhausted', message: 'recording is not available' },
} as const;

export const recordingError = createErrorFactory(recordingErrors);
