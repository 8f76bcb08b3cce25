/** The session recording format: write, read, convert. */
export {
  createRecordingWriter,
  type RecordingRecorder,
  type RecordingSummary,
  type RecordingWriterOptions,
} from './writer.js';
export { type Frame, type RecordingHeader } from './frames.js';
