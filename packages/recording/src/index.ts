/** The session recording format: write, read, convert, play. */
export { toAsciicast } from './asciicast.js';
export { recordingErrors } from './errors.js';
export { type Frame, type RecordingHeader } from './frames.js';
export { createPlaybackFilter, playRecording, type PlaybackOptions } from './playback.js';
export { readRecording, type ReadableChunk } from './reader.js';
export { lastScreen, ScreenModel, type Screen } from './screen.js';
export { toText } from './transcript.js';
export {
  createRecordingWriter,
  type RecordingRecorder,
  type RecordingSummary,
  type RecordingWriterOptions,
} from './writer.js';
