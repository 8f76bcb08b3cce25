import { allCommands } from './all-commands.js';
import { runProcess } from './process.js';

runProcess(allCommands);
