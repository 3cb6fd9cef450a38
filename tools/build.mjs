// `npm run build`: everything anew, into dist/.
import { build, checkNode } from './setup.mjs';

checkNode();
await build();
