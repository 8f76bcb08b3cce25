import { runProcess } from './process.js';
import { localCommands } from './registry.js';

runProcess(localCommands);
